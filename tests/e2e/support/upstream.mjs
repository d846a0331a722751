// Upstreams of the proxy: raw sockets and node's own server, each with one behavior and a record of everything that
// arrived.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createSocketServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Listens on loopback; `close` ends connections too. */
async function listening(server) {
  const sockets = new Set();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    open: () => sockets.size,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Node's server with a behaviour for each path; `seen` has every request with its raw headers. */
export async function upstream(behaviours) {
  const seen = [];
  const server = createServer(async (request, response) => {
    const entry = { method: request.method, url: request.url, headers: request.headers, raw: request.rawHeaders, closed: undefined };
    const { socket } = request;
    const before = socket.bytesWritten;
    entry.written = () => socket.bytesWritten - before;
    entry.done = new Promise((resolve) => response.on('close', () => {
      entry.closed = response.writableFinished ? 'finished' : 'aborted';
      entry.closedAt = performance.now();
      resolve(entry.closed);
    }));
    seen.push(entry);
    const path = request.url.split('?')[0];
    const behaviour = Object.entries(behaviours).find(([prefix]) => path.startsWith(prefix))?.[1] ?? echo;
    try {
      await behaviour(request, response, entry);
    } catch {
      response.destroy();
    }
  });
  return { ...(await listening(server)), seen };
}

/** Says what arrived. */
export async function echo(request, response) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString('latin1');
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.headers, raw: request.rawHeaders, body }));
}

/** Server-sent events with pauses. */
export const events = (texts, pause) => async (request, response) => {
  request.resume();
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  for (const text of texts) {
    response.write(text);
    await sleep(pause);
  }
  response.end();
};

/** This many bytes, as fast as they are accepted. */
export const bytes = (total) => async (request, response, entry) => {
  request.resume();
  response.writeHead(200, { 'content-type': 'application/octet-stream' });
  const chunk = Buffer.alloc(64 * 1024, 'x');
  for (let sent = 0; sent < total; sent += chunk.length) {
    if (response.destroyed) return;
    if (!response.write(chunk)) await Promise.race([once(response, 'drain'), entry.done]);
  }
  response.end();
};

/** Counts what it gets. */
export async function count(request, response) {
  let total = 0;
  for await (const chunk of request) total += chunk.length;
  response.end(JSON.stringify({ total, length: request.headers['content-length'], encoding: request.headers['transfer-encoding'] }));
}

/** A socket that sends these bytes once it has a request's head; `undefined` sends nothing. */
export async function rawUpstream(answer, { end = true } = {}) {
  const requests = [];
  const server = createSocketServer((socket) => {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (!text.includes('\r\n\r\n')) return;
      requests.push(text);
      text = '';
      if (answer === undefined) return;
      if (end) socket.end(answer, 'latin1');
      else socket.write(answer, 'latin1');
    });
  });
  return { ...(await listening(server)), requests };
}
