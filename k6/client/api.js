// The platform's HTTP API, as far as somebody needs it who joins a room.

import exec from 'k6/execution';
import http from 'k6/http';

import { failed, succeeded } from '../metrics.js';

export class ApiError extends Error {}

// Users have addresses of their own, from the network for benchmarks (RFC 2544), as they have behind a load balancer.
// A platform that does not trust this machine as a proxy counts them all as one.
export function addressed(user) {
  return { 'x-forwarded-for': `198.18.${(user >> 8) & 0xff}.${user & 0xff}` };
}

function post(url, name, body, token) {
  const headers = { 'content-type': 'application/json', ...addressed(exec.vu.idInTest) };
  if (token) headers.authorization = `Bearer ${token}`;
  const answer = http.post(url, JSON.stringify(body), { headers, tags: { name }, timeout: '10s' });
  if (answer.status !== 201) {
    failed(`${name} ${answer.status || 'no answer'}`);
    throw new ApiError(`${name}: ${answer.status} ${answer.error || answer.body}`);
  }
  succeeded();
  return answer.json();
}

// An identity token.
export function becomeGuest(base, name) {
  return post(`${base}/v1/guests`, 'POST /v1/guests', { name }).token;
}

// The id of a new room that belongs to `identity`.
export function createRoom(base, identity, title) {
  return post(`${base}/v1/rooms`, 'POST /v1/rooms', { title }, identity).room.id;
}

// A room token.
export function enterRoom(base, identity, room) {
  return post(`${base}/v1/rooms/${room}/tokens`, 'POST /v1/rooms/{id}/tokens', {}, identity).token;
}

export function socketUrl(base, room) {
  return `${base.replace(/^http/, 'ws')}/v1/rooms/${room}/socket`;
}
