// HTTP/2 as Cloudflare's edge speaks it to clients, before the runtime's HTTP/1.1. AWS's SDK for Bedrock speaks nothing else.

import { createServer } from 'node:http2';
import { request } from 'node:http';
import { pipeline } from 'node:stream';

/** What HTTP/2 has no place for. */
const CONNECTION = new Set(['connection', 'keep-alive', 'transfer-encoding']);

/** Resolves to `{url, asked, close}`; `asked` has the method and path of every request. */
export async function edge(origin) {
  const { hostname, port } = new URL(origin);
  const asked = [];
  const server = createServer((incoming, outgoing) => {
    asked.push(`${incoming.httpVersion} ${incoming.method} ${incoming.url}`);
    const headers = Object.fromEntries(Object.entries(incoming.headers).filter(([name]) => !name.startsWith(':')));
    const behind = request({ host: hostname, port, method: incoming.method, path: incoming.url, headers: { ...headers, host: incoming.authority } });
    behind.on('response', (response) => {
      const kept = Object.entries(response.headers).filter(([name]) => !CONNECTION.has(name));
      outgoing.writeHead(response.statusCode, Object.fromEntries(kept));
      pipeline(response, outgoing, () => {});
    });
    behind.on('error', () => outgoing.stream.close());
    pipeline(incoming, behind, () => {});
  });
  const sessions = new Set();
  server.on('session', (session) => sessions.add(session));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    asked,
    close: () => {
      for (const session of sessions) session.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
