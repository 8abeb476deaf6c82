// A room on `ws`, and nothing else: no log, no Redis, no identity, no limits. Each message goes to each socket at once, or
// with TICK_MS one frame for all that came in a tick, as Headrace does it. Prints the port that it listens on.
import { WebSocketServer } from "ws";

const tickMs = Number(process.env.TICK_MS ?? 0);
const server = new WebSocketServer({ port: 0, host: "127.0.0.1", backlog: 4096, perMessageDeflate: false });
let waiting = [];
let people = 0;

function toAll(text) {
  // Encoded once; a string would be encoded anew for each socket.
  const frame = Buffer.from(text);
  for (const socket of server.clients) socket.send(frame, { binary: false });
}

function flush() {
  const batch = waiting;
  waiting = [];
  toAll(`[${batch.join(",")}]`);
}

server.on("connection", (socket) => {
  const sender = `p${(people += 1)}`;
  socket.on("message", (data) => {
    const [id, text] = JSON.parse(data);
    const event = JSON.stringify([sender, "Person", id, text]);
    if (!tickMs) return toAll(event);
    if (waiting.push(event) === 1) setTimeout(flush, tickMs);
  });
  socket.send("ready");
});

server.on("listening", () => console.log(server.address().port));
