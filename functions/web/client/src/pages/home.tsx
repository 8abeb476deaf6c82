import { useState, type ReactNode, type SyntheticEvent } from "react";

import type { ApiClient } from "../api/client.ts";
import { describeError } from "../api/problem.ts";
import { AccountMenu } from "../components/account-menu.tsx";
import { EntranceName } from "../components/entrance-name.tsx";
import { Icon, Logo } from "../components/icons.tsx";
import { CATEGORIES, RoomLists } from "../components/room-lists.tsx";
import { fromLocalInput } from "../components/when.ts";
import { usePerson } from "../components/use-person.ts";
import { parseRoomCode, roomPath } from "../room/code.ts";
import { navigate } from "../router.ts";

const MAX_TITLE_LENGTH = 80;
const MAX_CATEGORY_LENGTH = 40;

type Wish = "create" | "join";

interface Problem {
  readonly at: Wish;
  readonly text: string;
}

/** The start page: a name, then a room of one's own or somebody else's. */
export function HomePage({ api }: { readonly api: ApiClient }): ReactNode {
  const identity = usePerson(api);
  const [typed, setTyped] = useState(api.name ?? "");
  const name = identity?.account === true ? identity.name : typed;
  const [title, setTitle] = useState("");
  const [category, setCategory] = useState("");
  const [when, setWhen] = useState("");
  const [listed, setListed] = useState(true);
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
    const at = fromLocalInput(when);
    if (at !== null && at.getTime() <= Date.now()) {
      setProblem({ at: "create", text: "Choose a time in the future, or none to begin now." });
      return;
    }
    const room = {
      title: title.trim(),
      category: category.trim(),
      listed,
      ...(at !== null && { scheduled_at: at.toISOString() }),
    };
    void enter("create", async () => (await api.createRoom(room)).id);
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
        <nav className="header-links" aria-label="Account and documentation">
          <a className="quiet-link" href="/docs">
            API
          </a>
          <AccountMenu api={api} />
        </nav>
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
            account needed and nothing to install.
          </p>
        </div>
        <div className="card entrance">
          <EntranceName identity={identity} value={typed} onChange={setTyped} />
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
            <div className="entrance-options">
              <div className="field">
                <label className="field-label" htmlFor="category-input">
                  Category
                </label>
                <input
                  id="category-input"
                  data-testid="category-input"
                  type="text"
                  list="categories"
                  placeholder="None"
                  maxLength={MAX_CATEGORY_LENGTH}
                  value={category}
                  onChange={(event) => {
                    setCategory(event.target.value);
                  }}
                />
                <datalist id="categories">
                  {CATEGORIES.map((name) => (
                    <option key={name} value={name} />
                  ))}
                </datalist>
              </div>
              <div className="field">
                <label className="field-label" htmlFor="when-input">
                  Begins at (empty: now)
                </label>
                <input
                  id="when-input"
                  data-testid="when-input"
                  type="datetime-local"
                  value={when}
                  onChange={(event) => {
                    setWhen(event.target.value);
                  }}
                />
              </div>
            </div>
            <label className="setting-row">
              <span>
                Listed
                <small>Everyone can find it below; else only who has the link.</small>
              </span>
              <input
                className="switch"
                data-testid="listed-input"
                type="checkbox"
                role="switch"
                checked={listed}
                onChange={(event) => {
                  setListed(event.target.checked);
                }}
              />
            </label>
            <ProblemText problem={problem} at="create" />
            <button
              type="submit"
              className="button primary wide"
              data-testid="create-room"
              disabled={busy !== null}
            >
              <Icon name="broadcast" />
              {busy === "create" ? "Opening your studio…" : when === "" ? "Go live" : "Schedule"}
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
      <RoomLists api={api} />
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
