// A room on Socket.IO 4 as its documentation has it: WebSocket transport, Redis streams adapter, one emit to the room for
// each message. Usage: node socketio.js; REDIS_URL names the server. Prints the port that it listens on.
import { createServer } from "node:http";

import { createAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const redis = createClient({ url: process.env.REDIS_URL });
await redis.connect();

const http = createServer();
const io = new Server(http, { transports: ["websocket"], adapter: createAdapter(redis) });

io.on("connection", (socket) => {
  socket.join("room");
  socket.on("chat", (id, text) => {
    io.to("room").emit("chat", socket.id, "Person", id, text);
  });
});

http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(http.address().port);
});
