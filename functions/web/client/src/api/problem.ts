/** Errors of the HTTP API (RFC 9457 problem details) and the sentences people read for them. */

/** A refused request; `status` 0 means that no answer came at all. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, sentence: string) {
    super(sentence);
    this.status = status;
    this.code = code;
  }

  /** Whether trying again later can help. */
  get temporary(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export function unreachable(): ApiError {
  return new ApiError(0, "unreachable", "Headrace cannot be reached. Check your connection and try again.");
}

/** Turns an answer that is not a success into an error, whatever its body turns out to be. */
export async function problemFrom(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => null);
  const code = textField(body, "code") ?? `http_${response.status}`;
  return new ApiError(response.status, code, sentenceFor(response.status, body));
}

function sentenceFor(status: number, body: unknown): string {
  const said = textField(body, "detail") ?? textField(body, "title");
  if (said !== null) return /[.!?]$/.test(said) ? said : `${said}.`;
  if (status === 404) return "There is no such thing here.";
  if (status === 429) return "That was too fast. Wait a moment and try again.";
  if (status >= 500) return "Headrace has trouble at the moment. Try again shortly.";
  return `The request was refused (${status}).`;
}

function textField(body: unknown, field: string): string | null {
  if (typeof body !== "object" || body === null || !(field in body)) return null;
  const value: unknown = body[field as keyof typeof body];
  return typeof value === "string" && value !== "" ? value : null;
}

export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : "Something unexpected went wrong.";
}
