/**
 * Who uses this page: a guest, somebody with an account, or nobody yet.
 *
 * The identity token is in memory only and lives for minutes; a cookie that scripts cannot read gets the next one. A
 * guest whose session is over becomes a new guest of the same name, silently; somebody with an account is asked to sign in.
 */
import { call, type Call } from "./call.ts";
import { loadIdentity, saveIdentity, type Identity } from "./identity.ts";
import { ApiError } from "./problem.ts";

interface SessionAnswer {
  readonly token: string;
  readonly participant: { readonly id: string; readonly name: string };
  readonly account: boolean;
}

export interface Account {
  readonly id: string;
  readonly username: string;
  readonly name: string;
  readonly about: string;
}

export class Person {
  #identity: Identity | null = loadIdentity();
  #token: string | null = null;
  #renewal: Promise<string> | null = null;
  readonly #listeners = new Set<() => void>();

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  };

  readonly snapshot = (): Identity | null => this.#identity;

  /** Takes part under this name: keeps the present identity when the name is the same, and an account in any case. */
  async enter(name: string): Promise<void> {
    if (this.#identity?.account === true || this.#identity?.name === name) return;
    await this.#begin({ method: "POST", path: "/v1/guests", body: { name, session: "cookie" } });
  }

  /** Makes an account; a guest keeps their id, and with it their rooms. */
  async register(username: string, password: string, name: string): Promise<void> {
    const body = { username, password, name, session: "cookie" };
    // A guest who cannot prove who they are any more registers as somebody new.
    const token = await this.#guestToken();
    await this.#begin({ method: "POST", path: "/v1/users", body, ...(token !== null && { token }) });
  }

  async signIn(username: string, password: string): Promise<void> {
    await this.#begin({ method: "POST", path: "/v1/sessions", body: { username, password, session: "cookie" } });
  }

  /** Ends the session here, or with `everywhere` all of them. */
  async signOut(everywhere = false): Promise<void> {
    const path = everywhere ? "/v1/sessions" : "/v1/sessions/current";
    try {
      await this.call<undefined>({ method: "DELETE", path });
    } catch (error) {
      // A session that is over already is what was asked for.
      if (!(error instanceof ApiError) || error.temporary) throw error;
    }
    this.#become(null, null);
  }

  account(): Promise<Account> {
    return this.call<Account>({ method: "GET", path: "/v1/users/me" });
  }

  async changeProfile(change: { readonly name: string; readonly about: string }): Promise<void> {
    const changed = await this.call<Account>({ method: "PATCH", path: "/v1/users/me", body: change });
    // The token at hand still has the old name; the next one has the new one.
    this.#become({ id: changed.id, name: changed.name, account: true }, null);
  }

  async changePassword(current: string, next: string): Promise<void> {
    await this.call<undefined>({ method: "PUT", path: "/v1/users/me/password", body: { current, new: next } });
  }

  /** A call in this person's name; a token that is refused is renewed once. */
  async call<T>(request: Call): Promise<T> {
    if (this.#identity === null) throw new ApiError(401, "no_identity", "Choose a name first.");
    const token = this.#token ?? (await this.#renewed());
    try {
      return await call<T>({ ...request, token });
    } catch (error) {
      if (!isStale(error)) throw error;
      if (this.#token === token) this.#token = null;
      return await call<T>({ ...request, token: this.#token ?? (await this.#renewed()) });
    }
  }

  async #guestToken(): Promise<string | null> {
    if (this.#identity === null || this.#identity.account) return null;
    return this.#token ?? (await this.#refreshed());
  }

  /** Several calls may be refused at once; they share one new token. */
  #renewed(): Promise<string> {
    this.#renewal ??= this.#renew().finally(() => {
      this.#renewal = null;
    });
    return this.#renewal;
  }

  async #renew(): Promise<string> {
    const before = this.#identity;
    const token = await this.#refreshed();
    if (token !== null) return token;
    if (before !== null && !before.account) {
      const body = { name: before.name, session: "cookie" };
      return await this.#begin({ method: "POST", path: "/v1/guests", body });
    }
    this.#become(null, null);
    throw new ApiError(401, "signed_out", "You have been signed out. Sign in again.");
  }

  /** The next token of the session that the cookie stands for; null when it is over. */
  async #refreshed(): Promise<string | null> {
    try {
      return await this.#begin({ method: "POST", path: "/v1/sessions/refresh", body: {} });
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return null;
      throw error;
    }
  }

  async #begin(request: Call): Promise<string> {
    const answer = await call<SessionAnswer>(request);
    this.#become({ ...answer.participant, account: answer.account }, answer.token);
    return answer.token;
  }

  #become(identity: Identity | null, token: string | null): void {
    const before = this.#identity;
    this.#token = token;
    if (identity?.id === before?.id && identity?.name === before?.name && identity?.account === before?.account) return;
    this.#identity = identity;
    saveIdentity(identity);
    for (const listener of this.#listeners) listener();
  }
}

/** Whether a new token may help: not when it was the password that is wrong. */
function isStale(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401 && error.code !== "wrong_credentials";
}
