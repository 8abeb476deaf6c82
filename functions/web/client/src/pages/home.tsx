import { useState, type ReactNode, type SyntheticEvent } from "react";

import type { ApiClient } from "../api/client.ts";
import { describeError } from "../api/problem.ts";
import { Icon, Logo } from "../components/icons.tsx";
import { NameField } from "../components/name-field.tsx";
import { parseRoomCode, roomPath } from "../room/code.ts";
import { navigate } from "../router.ts";

const MAX_TITLE_LENGTH = 80;

type Wish = "create" | "join";

interface Problem {
  readonly at: Wish;
  readonly text: string;
}

/** The start page: a name, then a room of one's own or somebody else's. */
export function HomePage({ api }: { readonly api: ApiClient }): ReactNode {
  const [name, setName] = useState(api.name ?? "");
  const [title, setTitle] = useState("");
  const [code, setCode] = useState("");
  const [busy, setBusy] = useState<Wish | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);

  /** Both ways in need a name; each ends on a room's page. */
  const enter = async (wish: Wish, room: () => Promise<string>): Promise<void> => {
    if (name.trim() === "") {
      setProblem({ at: wish, text: "Choose a name first." });
      return;
    }
    setBusy(wish);
    setProblem(null);
    try {
      await api.enter(name.trim());
      navigate(roomPath(await room()));
    } catch (error) {
      setProblem({ at: wish, text: describeError(error) });
      setBusy(null);
    }
  };

  const create = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (title.trim() === "") {
      setProblem({ at: "create", text: "Give your stream a title." });
      return;
    }
    void enter("create", async () => (await api.createRoom(title.trim())).id);
  };

  const join = (event: SyntheticEvent): void => {
    event.preventDefault();
    const id = parseRoomCode(code);
    if (id === null) {
      setProblem({ at: "join", text: "A code has ten letters and digits, like abcde-23456. A room's link works too." });
      return;
    }
    void enter("join", async () => (await api.getRoom(id)).id);
  };

  return (
    <div className="home">
      <header className="home-header">
        <Logo />
        <a className="quiet-link" href="/docs">
          API
        </a>
      </header>
      <main className="home-main">
        <div className="hero">
          <h1>
            Go live.
            <br />
            <em>Right now.</em>
          </h1>
          <p>
            Stream from your browser, OBS or FFmpeg. Everyone with the link watches in real time and talks back, with no
            account and nothing to install.
          </p>
        </div>
        <div className="card entrance">
          <NameField value={name} onChange={setName} />
          <form onSubmit={create} aria-labelledby="create-title">
            <h2 id="create-title">Start a stream</h2>
            <div className="field">
              <label className="field-label" htmlFor="title-input">
                Title
              </label>
              <input
                id="title-input"
                data-testid="title-input"
                type="text"
                placeholder="What is it about?"
                maxLength={MAX_TITLE_LENGTH}
                value={title}
                onChange={(event) => {
                  setTitle(event.target.value);
                }}
              />
            </div>
            <ProblemText problem={problem} at="create" />
            <button
              type="submit"
              className="button primary wide"
              data-testid="create-room"
              disabled={busy !== null}
            >
              <Icon name="broadcast" />
              {busy === "create" ? "Opening your studio…" : "Go live"}
            </button>
          </form>
          <form onSubmit={join} aria-labelledby="join-title">
            <h2 id="join-title">Join a room</h2>
            <div className="join-row">
              <div className="field">
                <label className="field-label" htmlFor="join-code">
                  Code or link
                </label>
                <input
                  id="join-code"
                  data-testid="join-code"
                  type="text"
                  placeholder="abcde-23456"
                  autoComplete="off"
                  autoCapitalize="off"
                  spellCheck={false}
                  value={code}
                  onChange={(event) => {
                    setCode(event.target.value);
                  }}
                />
              </div>
              <button
                type="submit"
                className="button"
                data-testid="join-room"
                disabled={busy !== null}
              >
                {busy === "join" ? "Joining…" : "Watch"}
              </button>
            </div>
            <ProblemText problem={problem} at="join" />
          </form>
        </div>
      </main>
    </div>
  );
}

function ProblemText({ problem, at }: { readonly problem: Problem | null; readonly at: Wish }): ReactNode {
  if (problem?.at !== at) return null;
  return (
    <p className="problem" role="alert">
      {problem.text}
    </p>
  );
}
