"""The calls of a host that need credentials: its secret, and answers to lifecycle hooks."""

import asyncio
from typing import Any

import boto3  # type: ignore[import-untyped]
import msgspec
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
from structlog import get_logger

_RETRY_S = 2.0
# What AWS answers when nobody waits for us: the hook timed out, or the host goes without one.
_NO_ACTION = "ValidationError"

log = get_logger(__name__)


class CloudError(Exception):
    """AWS did not do what was asked; the message says what."""


class Aws:
    """Secrets Manager and EC2 Auto Scaling for one host."""

    def __init__(self, *, region: str, group: str, instance: str) -> None:
        self._group = group
        self._instance = instance
        session = boto3.session.Session()
        config = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
        self._secrets: Any = session.client("secretsmanager", region_name=region, config=config)
        self._autoscaling: Any = session.client("autoscaling", region_name=region, config=config)

    async def variables(self, secret: str) -> dict[str, str]:
        """The secret, which is a JSON object of strings.

        Raises:
            CloudError: it cannot be read, or is something else.
        """
        try:
            answer = await asyncio.to_thread(self._secrets.get_secret_value, SecretId=secret)
            return msgspec.json.decode(answer["SecretString"], type=dict[str, str])
        except (BotoCoreError, ClientError) as error:
            raise CloudError(f"secret: {error}") from error
        except (KeyError, msgspec.DecodeError) as error:
            # What was read must not get into a log.
            raise CloudError(f"secret: not a JSON object of strings ({type(error).__name__})") from None

    async def heartbeat(self, hook: str) -> None:
        """Tell a hook that we are still at it. A failure is logged: the next one comes soon."""
        try:
            await asyncio.to_thread(
                self._autoscaling.record_lifecycle_action_heartbeat,
                LifecycleHookName=hook,
                AutoScalingGroupName=self._group,
                InstanceId=self._instance,
            )
        except (BotoCoreError, ClientError) as error:
            log.warning("heartbeat_failed", hook=hook, error=str(error))

    async def complete(self, hook: str) -> None:
        """Tell a hook to go on; again and again until it was heard, since else the group waits for its time-out."""
        while True:
            try:
                await asyncio.to_thread(
                    self._autoscaling.complete_lifecycle_action,
                    LifecycleHookName=hook,
                    AutoScalingGroupName=self._group,
                    InstanceId=self._instance,
                    LifecycleActionResult="CONTINUE",
                )
            except ClientError as error:
                if error.response["Error"]["Code"] == _NO_ACTION:
                    log.info("nobody_waits", hook=hook)
                    return
                log.warning("complete_failed", hook=hook, error=str(error))
            except BotoCoreError as error:
                log.warning("complete_failed", hook=hook, error=str(error))
            else:
                log.info("completed", hook=hook)
                return
            await asyncio.sleep(_RETRY_S)
