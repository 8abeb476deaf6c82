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

function post(url, name, body, token, expected = 201) {
  const headers = { 'content-type': 'application/json', ...addressed(exec.vu.idInTest) };
  if (token) headers.authorization = `Bearer ${token}`;
  const answer = http.post(url, JSON.stringify(body), { headers, tags: { name }, timeout: '10s' });
  if (answer.status !== expected) {
    failed(`${name} ${answer.status || 'no answer'}`);
    throw new ApiError(`${name}: ${answer.status} ${answer.error || answer.body}`);
  }
  succeeded();
  return answer.json();
}

// Renewed before it is over, by what a slow answer and another clock may take.
const MARGIN_S = 60;

function identityOf(answer) {
  const renewAt = Date.now() + (answer.expires_in_s - MARGIN_S) * 1000;
  return { token: answer.token, refreshToken: answer.refresh_token, renewAt };
}

// An identity: plain data, so that one made in set-up reaches the user it is for. Each is used by one user alone, since a
// refresh token that two use ends the session.
export function becomeGuest(base, name) {
  return identityOf(post(`${base}/v1/guests`, 'POST /v1/guests', { name }));
}

// An identity whose token was signed beforehand, for as long as the run lasts.
export function issued(token) {
  return { token };
}

function tokenOf(base, identity) {
  if (identity.renewAt && Date.now() > identity.renewAt) {
    const body = { refresh_token: identity.refreshToken };
    const answer = post(`${base}/v1/sessions/refresh`, 'POST /v1/sessions/refresh', body, undefined, 200);
    Object.assign(identity, identityOf(answer));
  }
  return identity.token;
}

// The id of a new room that belongs to `identity`.
export function createRoom(base, identity, title) {
  return post(`${base}/v1/rooms`, 'POST /v1/rooms', { title }, tokenOf(base, identity)).room.id;
}

// A room token.
export function enterRoom(base, identity, room) {
  return post(`${base}/v1/rooms/${room}/tokens`, 'POST /v1/rooms/{id}/tokens', {}, tokenOf(base, identity)).token;
}

export function socketUrl(base, room) {
  return `${base.replace(/^http/, 'ws')}/v1/rooms/${room}/socket`;
}
