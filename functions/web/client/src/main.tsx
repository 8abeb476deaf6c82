/** Entry of the web client. */
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { ApiClient } from "./api/client.ts";
import { App } from "./app.tsx";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/home.css";
import "./styles/browse.css";
import "./styles/room.css";
import "./styles/studio.css";
import "./styles/chat.css";
import "./styles/live.css";
import "./styles/quality.css";
import "./styles/gifts.css";
import "./styles/people.css";
import "./styles/recordings.css";
import "./styles/figures.css";
import "./styles/account.css";

const root = document.getElementById("root");
if (root === null) throw new Error("The page has no #root element.");
createRoot(root).render(
  <StrictMode>
    <App api={new ApiClient()} />
  </StrictMode>,
);
