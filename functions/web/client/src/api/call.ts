/** One call of the HTTP API. */
import { problemFrom, unreachable } from "./problem.ts";

export interface Call {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly body?: unknown;
  readonly token?: string;
  /** Makes a POST safe to send again: it is carried out once. */
  readonly key?: string;
}

export async function call<T>(request: Call): Promise<T> {
  const headers = new Headers({ Accept: "application/json, application/problem+json" });
  if (request.token !== undefined) headers.set("Authorization", `Bearer ${request.token}`);
  if (request.key !== undefined) headers.set("Idempotency-Key", request.key);
  if (request.body !== undefined) headers.set("Content-Type", "application/json");
  const response = await fetch(request.path, {
    method: request.method,
    headers,
    cache: "no-store",
    ...(request.body !== undefined && { body: JSON.stringify(request.body) }),
  }).catch(() => {
    throw unreachable();
  });
  if (!response.ok) throw await problemFrom(response);
  if (response.status === 204) return undefined as T;
  // Our own server made this answer to the contract these types are written from.
  return (await response.json()) as T;
}
