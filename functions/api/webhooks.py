"""Webhooks of an owner: make, read, change, try, delete, and the log of what was delivered."""

from datetime import UTC, datetime
from typing import Any, cast

from litestar import Request, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler

from functions.api.auth import IDENTITY, identity_of
from functions.api.conditional import answered, changed_meanwhile, wanted_state
from functions.api.paging import DEFAULT_LIMIT, Cursor, Limit, position
from functions.api.room_views import owned_room
from functions.api.schemas import (
    AttemptResponse,
    CreatedWebhook,
    DeliveryList,
    DeliveryResponse,
    WebhookChange,
    WebhookList,
    WebhookRequest,
    WebhookResponse,
)
from functions.context import Context
from functions.signaling.text import clean_text
from functions.webhooks.announcing import Happening, body_of
from functions.webhooks.guard import Forbidden, check_url
from shared.security.tokens import Grant
from shared.state.webhooks import MAX_OF_OWNER, Delivery, EventName, NewDelivery, Webhook, delivery_id
from shared.telemetry.problems import Problem


@post("/v1/webhooks", summary="Make a webhook", tags=["webhooks"], security=IDENTITY, opt={"rate": "create"})
async def create_webhook(
    request: Request[Any, Any, Any], data: JSONBody[WebhookRequest], context: NamedDependency[Context]
) -> Response[CreatedWebhook]:
    """Have events told to a server of yours. The answer has the secret that signs them, this once."""
    identity = identity_of(request, context, Grant.CREATE_ROOM)
    _check(context, data.url)
    room = ""
    if data.room is not None:
        _, owned = await owned_room(request, context, data.room)
        room = owned.id
    there, _ = await context.webhooks.of_owner(identity.sub, limit=MAX_OF_OWNER)
    if len(there) >= MAX_OF_OWNER:
        raise Problem(409, "too_many_webhooks", "Too many webhooks", f"you may have {MAX_OF_OWNER}: delete some")
    events = cast("list[EventName]", list(dict.fromkeys(data.events)))
    made = await context.webhooks.create(
        identity.sub, data.url, events, room=room, description=clean_text(data.description)
    )
    body = CreatedWebhook(_described(made), made.secret)
    return Response(body, headers={"location": f"/v1/webhooks/{made.id}"})


@get("/v1/webhooks", summary="List your webhooks", tags=["webhooks"], security=IDENTITY)
async def list_webhooks(
    request: Request[Any, Any, Any],
    context: NamedDependency[Context],
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> WebhookList:
    """A page of your webhooks, in the order of their ids."""
    identity = identity_of(request, context)
    found, after = await context.webhooks.of_owner(identity.sub, after=position(cursor), limit=limit)
    return WebhookList([_described(webhook) for webhook in found], after)


@get(
    "/v1/webhooks/{webhook_id:str}",
    summary="Read a webhook",
    tags=["webhooks"],
    security=IDENTITY,
    opt={"conditional": True},
)
async def read_webhook(
    request: Request[Any, Any, Any], webhook_id: FromPath[str], context: NamedDependency[Context]
) -> Response[WebhookResponse]:
    """One of your webhooks."""
    webhook = await _own(request, context, webhook_id)
    return answered(request, _described(webhook), state=str(webhook.version))


@patch(
    "/v1/webhooks/{webhook_id:str}",
    summary="Change a webhook",
    tags=["webhooks"],
    security=IDENTITY,
    opt={"if_match": True},
)
async def change_webhook(
    request: Request[Any, Any, Any],
    webhook_id: FromPath[str],
    data: JSONBody[WebhookChange],
    context: NamedDependency[Context],
) -> Response[WebhookResponse]:
    """Change what is given; one that was switched off is switched on by `active`."""
    webhook = await _own(request, context, webhook_id)
    wanted_state(request, str(webhook.version))
    if data.url is not None:
        _check(context, data.url)
    changed = await context.webhooks.update(
        webhook.id,
        version=webhook.version,
        url=data.url,
        events=None if data.events is None else list(dict.fromkeys(data.events)),
        active=data.active,
        description=None if data.description is None else clean_text(data.description),
    )
    if changed is None:
        raise changed_meanwhile()
    return answered(request, _described(changed), state=str(changed.version))


@delete("/v1/webhooks/{webhook_id:str}", summary="Delete a webhook", tags=["webhooks"], security=IDENTITY)
async def delete_webhook(
    request: Request[Any, Any, Any], webhook_id: FromPath[str], context: NamedDependency[Context]
) -> None:
    """Forget it, and what was still to be told to it."""
    webhook = await _own(request, context, webhook_id)
    await context.webhooks.delete(webhook.id)
    await context.deliveries.forget(webhook.id)


@post(
    "/v1/webhooks/{webhook_id:str}/ping",
    summary="Try a webhook",
    tags=["webhooks"],
    security=IDENTITY,
    status_code=202,
    opt={"rate": "test"},
)
async def ping_webhook(
    request: Request[Any, Any, Any], webhook_id: FromPath[str], context: NamedDependency[Context]
) -> DeliveryResponse:
    """Have it told an event `ping` now, also while it is switched off. What came of it is in its deliveries."""
    webhook = await _own(request, context, webhook_id)
    now = datetime.now(UTC)
    event_id = f"ping:{int(now.timestamp() * 1e6)}"
    body = body_of(Happening(event_id, "ping", now, {"webhook": webhook.id}), None)
    await context.deliveries.add([NewDelivery(webhook.id, event_id, "ping", body)])
    return await _delivery(context, webhook, delivery_id(webhook.id, event_id))


@get("/v1/webhooks/{webhook_id:str}/deliveries", summary="List deliveries", tags=["webhooks"], security=IDENTITY)
async def list_deliveries(
    request: Request[Any, Any, Any],
    webhook_id: FromPath[str],
    context: NamedDependency[Context],
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> DeliveryList:
    """What was and is to be told to it, newest first, with every attempt; for 30 days."""
    webhook = await _own(request, context, webhook_id)
    found, after = await context.deliveries.of_webhook(webhook.id, after=position(cursor), limit=limit)
    return DeliveryList([_delivery_described(delivery) for delivery in found], after)


@post(
    "/v1/webhooks/{webhook_id:str}/deliveries/{delivery:str}/retry",
    summary="Deliver again",
    tags=["webhooks"],
    security=IDENTITY,
    status_code=202,
    opt={"rate": "test"},
)
async def retry_delivery(
    request: Request[Any, Any, Any],
    webhook_id: FromPath[str],
    delivery: FromPath[str],
    context: NamedDependency[Context],
) -> DeliveryResponse:
    """Tell it now, whatever came of it before, under the same id."""
    webhook = await _own(request, context, webhook_id)
    found = await context.deliveries.find(delivery)
    if found is None or found.webhook != webhook.id:
        raise Problem(404, "delivery_unknown", "No such delivery", "none of this webhook has this id")
    await context.deliveries.again(found)
    return await _delivery(context, webhook, found.id)


async def _own(request: Request[Any, Any, Any], context: Context, webhook_id: str) -> Webhook:
    identity = identity_of(request, context)
    webhook = await context.webhooks.find(webhook_id)
    # Somebody else's is as unknown as none: that there is one is nobody's business.
    if webhook is None or webhook.owner != identity.sub:
        raise Problem(404, "webhook_unknown", "No such webhook", "none of yours has this id")
    return webhook


def _check(context: Context, url: str) -> None:
    try:
        check_url(url, insecure=context.settings.insecure_webhooks)
    except Forbidden as refused:
        raise Problem(400, "url_refused", "Bad request", f"url: {refused}") from None


async def _delivery(context: Context, webhook: Webhook, identifier: str) -> DeliveryResponse:
    found = await context.deliveries.find(identifier)
    if found is None:
        raise Problem(404, "delivery_unknown", "No such delivery", f"{webhook.id} was deleted just now")
    return _delivery_described(found)


def _described(webhook: Webhook) -> WebhookResponse:
    return WebhookResponse(
        id=webhook.id,
        url=webhook.url,
        events=list(webhook.events),
        room=webhook.room or None,
        description=webhook.description,
        active=webhook.active,
        failing_since=webhook.failing_since,
        created_at=webhook.created_at,
    )


def _delivery_described(delivery: Delivery) -> DeliveryResponse:
    return DeliveryResponse(
        id=delivery.id,
        event=delivery.event,
        state=delivery.state,
        body=delivery.body,
        created_at=delivery.created_at,
        due=delivery.due if delivery.state == "pending" else None,
        attempts=[
            AttemptResponse(attempt.at, attempt.status, attempt.error, attempt.took_ms) for attempt in delivery.attempts
        ],
    )


ROUTES: list[ControllerRouterHandler] = [
    create_webhook,
    list_webhooks,
    read_webhook,
    change_webhook,
    delete_webhook,
    ping_webhook,
    list_deliveries,
    retry_delivery,
]
