// Bodies are never collected: the runtime's memory stays flat while 100 MB pass, several times at once, in either direction,
// and where one side does not read. The measure itself is tried on a Worker that collects.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as send } from 'node:http';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Log, LogLevel, Miniflare } from 'miniflare';

import { Proxied } from './support/proxied.mjs';
import { growthWhile } from './support/runtime-memory.mjs';
import { bytes, count, upstream } from './support/upstream.mjs';

const MB = 1024 * 1024;
const SIZE = 100 * MB;
const AT_ONCE = 4;

/** Less than one of the bodies: whoever collects them holds four. */
const MOST_MB = 80;

const CHUNK = Buffer.alloc(MB, 'y');

/** What is compared: a proxy in JavaScript that has bodies whole before it passes them on. */
const collecting = (url) => `export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    const body = request.method === 'POST' ? await request.arrayBuffer() : undefined;
    const answer = await fetch('${url}' + pathname.replace('/proxy/api', ''), { method: request.method, body });
    return new Response(await answer.arrayBuffer(), answer);
  },
};`;

describe('memory', () => {
  let world, api, collector;

  before(async () => {
    api = await upstream({
      '/bytes': bytes(SIZE),
      '/count': count,
      // Never reads, never answers.
      '/deaf': () => new Promise(() => {}),
    });
    world = await Proxied.start({ api: { url: api.url } });
  });
  after(async () => {
    await collector?.dispose();
    await world?.stop();
    await api?.close();
  });

  async function down(url) {
    const answer = await fetch(`${url}/proxy/api/bytes`, { headers: { authorization: `Bearer ${await world.token('api')}` } });
    assert.equal(answer.status, 200);
    let total = 0;
    for await (const chunk of answer.body) total += chunk.length;
    assert.equal(total, SIZE);
  }

  /** `length`: whether it is said before, or the body is chunked. */
  async function up(url, { length = true } = {}) {
    const headers = { authorization: `Bearer ${await world.token('api')}`, ...(length ? { 'content-length': SIZE } : {}) };
    const request = send(`${url}/proxy/api/count`, { method: 'POST', headers });
    const answered = once(request, 'response');
    for (let sent = 0; sent < SIZE; sent += MB) if (!request.write(CHUNK)) await once(request, 'drain');
    request.end();
    const [response] = await answered;
    let text = '';
    for await (const part of response) text += part;
    assert.equal(response.statusCode, 200);
    assert.equal(JSON.parse(text).total, SIZE);
  }

  const atOnce = (one) => Promise.all(Array.from({ length: AT_ONCE }, (_, index) => one(index)));

  test('stays flat while 100 MB pass down, several at once', async () => {
    await (await world.call('api', '/count', { method: 'POST', body: 'x' })).text();
    const grown = await growthWhile(() => atOnce(() => down(world.url)));
    assert.ok(grown < MOST_MB, `${grown} MB`);
  });

  test('stays flat while 100 MB pass up, several at once, of known length and chunked', async () => {
    const grown = await growthWhile(() => atOnce((index) => up(world.url, { length: index % 2 === 0 })));
    assert.ok(grown < MOST_MB, `${grown} MB`);
  });

  /** Waits until a number stands still. */
  async function still(number) {
    let [last, since] = [-1, 0];
    while (since < 10) {
      since = number() === last ? since + 1 : 0;
      last = number();
      await sleep(50);
    }
    return last;
  }

  test('stays flat while a caller does not read, and holds the upstream back', async () => {
    const { hostname, port } = new URL(world.url);
    const authorization = `Bearer ${await world.token('api')}`;
    const socket = connect(Number(port), hostname);
    const before = api.seen.length;
    let written;
    const grown = await growthWhile(async () => {
      socket.write(`GET /proxy/api/bytes?still HTTP/1.1\r\nhost: sts.example.com\r\nauthorization: ${authorization}\r\n\r\n`);
      await once(socket, 'readable');
      written = await still(() => api.seen[before].written());
    });
    assert.ok(written < SIZE / 2, `the upstream was let write ${written} bytes`);
    assert.ok(grown < MOST_MB, `${grown} MB`);
    // Nothing is lost: what was held back comes.
    let total = 0;
    socket.on('data', (chunk) => (total += chunk.length));
    assert.equal(await api.seen[before].done, 'finished');
    while (total < SIZE) await once(socket, 'data');
    socket.destroy();
  });

  test('stays flat while an upstream does not read, and holds the caller back', async () => {
    const { hostname, port } = new URL(world.url);
    const authorization = `Bearer ${await world.token('api')}`;
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    let written;
    const grown = await growthWhile(async () => {
      socket.write(`POST /proxy/api/deaf HTTP/1.1\r\nhost: sts.example.com\r\nauthorization: ${authorization}\r\ncontent-length: ${SIZE}\r\n\r\n`);
      const more = () => {
        while (socket.bytesWritten < SIZE && socket.write(CHUNK));
      };
      socket.on('drain', more);
      more();
      written = await still(() => socket.bytesWritten);
    });
    socket.destroy();
    assert.ok(written < SIZE / 2, `the caller was let write ${written} bytes`);
    assert.ok(grown < MOST_MB, `${grown} MB`);
  });

  test('is seen to grow by a Worker that collects', async () => {
    collector = new Miniflare({ modules: true, script: collecting(api.url), compatibilityDate: '2026-04-01', cf: false, log: new Log(LogLevel.NONE), unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }] });
    await collector.ready;
    const url = String(await collector.unsafeGetDirectURL()).replace(/\/$/, '');
    for (const one of [down, up]) {
      // It may break down altogether.
      const grown = await growthWhile(() => Promise.allSettled([one(url), one(url)]));
      assert.ok(grown > MOST_MB, `${one.name}: ${grown} MB`);
    }
  });
});
