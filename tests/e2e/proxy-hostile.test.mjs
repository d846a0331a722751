// Callers and upstreams that misbehave on the wire: what a request smuggles arrives nowhere, and what an upstream breaks is
// never taken for an answer.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { CANARY, Proxied } from './support/proxied.mjs';
import { events, rawUpstream, upstream } from './support/upstream.mjs';

const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n';

/** An upstream that runs `behaviour(socket, head)` for each connection, once it has a request's head. */
async function onSocket(behaviour) {
  const sockets = new Set();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', (head) => behaviour(socket, head.toString('latin1')));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('on the wire', () => {
  let world, api;
  const servers = {};

  before(async () => {
    api = await upstream({ '/events': events(['data: 1\n\n', 'data: 2\n\n'], 100), '/open': () => new Promise(() => {}) });
    Object.assign(servers, {
      trailers: await rawUpstream(`${HEAD}transfer-encoding: chunked\r\ntrailer: x-late\r\n\r\n2\r\nok\r\n0\r\nx-late: 1\r\nset-cookie: a=b\r\n\r\n`),
      // Accepts and reads, and resets before, within and after the head.
      resets: await onSocket((socket) => socket.resetAndDestroy()),
      half: await onSocket((socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-ty')),
      midway: await onSocket((socket) => {
        socket.write(`${HEAD}transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n`);
        setTimeout(() => socket.resetAndDestroy(), 100);
      }),
      many: await rawUpstream(`${HEAD}${Array.from({ length: 500 }, (_, index) => `x-many-${index}: ${'v'.repeat(50)}\r\n`).join('')}content-length: 2\r\n\r\nok`),
      enormous: await rawUpstream(`${HEAD}x-enormous: ${'h'.repeat(4 * 1024 * 1024)}\r\ncontent-length: 2\r\n\r\nok`),
      twice: await rawUpstream(`${HEAD}content-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond`),
      both: await rawUpstream(`${HEAD}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`),
      drips: await onSocket((socket) => {
        const timer = setInterval(() => socket.write('H'), 100);
        socket.on('close', () => clearInterval(timer));
      }),
      upgraded: await rawUpstream('HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n'),
      beyond: await rawUpstream('HTTP/1.1 600 Beyond\r\ncontent-length: 0\r\n\r\n'),
      below: await rawUpstream('HTTP/1.1 099 Below\r\ncontent-length: 0\r\n\r\n'),
      torn: await rawUpstream('HTTP/1.1 302 Found\r\nlocation: /a\r\nlocation: https://evil.example.com/\r\ncontent-length: 0\r\n\r\n'),
      torn2: await rawUpstream('HTTP/1.1 302 Found\r\nlocation: https://evil.example.com/\r\nlocation: /a\r\ncontent-length: 0\r\n\r\n'),
      reason: await rawUpstream('HTTP/1.1 200 not\tfine\x01\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nok'),
      latin: await rawUpstream(`${HEAD}x-latin: caf\u00e9\r\ncontent-length: 2\r\n\r\nok`),
    });
    world = await Proxied.start({
      api: { url: api.url },
      guarded: { url: `${api.url}/v1`, methods: ['GET', 'POST'], paths: ['/models(/[a-z0-9.-]+)?'] },
      ...Object.fromEntries(Object.entries(servers).map(([name, { url }]) => [name, { url, first_byte_timeout_seconds: 2 }])),
    });
  });
  after(async () => {
    await world?.stop();
    for (const server of [api, ...Object.values(servers)]) await server?.close();
  });

  /** Bytes of ours; resolves to the answer. `quiet`: to all that comes back until so many ms have passed without more. */
  async function raw(text, { quiet } = {}) {
    const { hostname, port } = new URL(world.url);
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    let [answer, last] = ['', performance.now()];
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
      last = performance.now();
    });
    const closed = once(socket, 'close');
    socket.write(Buffer.from(text, 'latin1'));
    // The first answer is waited for; behind it there may be others.
    const goesOn = () => (quiet === undefined || answer === '' ? !isComplete(answer) : performance.now() - last < quiet);
    while (!socket.destroyed && goesOn() && performance.now() - last < 8000) await Promise.race([closed, sleep(10)]);
    socket.destroy();
    return answer;
  }

  function isComplete(answer) {
    const [head, body] = answer.split('\r\n\r\n', 2);
    if (body === undefined) return false;
    if (/^transfer-encoding: chunked$/im.test(head)) return answer.endsWith('0\r\n\r\n');
    return body.length >= Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
  }

  const statuses = (answer) => [...answer.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status]) => Number(status));

  async function ask(upstream, { method = 'GET', path = '/a', headers = '', body = '', quiet } = {}) {
    return raw(`${method} /proxy/${upstream}${path} HTTP/1.1\r\nhost: sts.example.com\r\nauthorization: Bearer ${await world.token(upstream)}\r\n${headers}\r\n${body}`, { quiet });
  }

  describe('a caller', () => {
    test('that says two lengths, or both ways of saying one, smuggles no second request', async () => {
      const smuggled = 'GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n';
      for (const headers of [
        `content-length: 4\r\ntransfer-encoding: chunked\r\n`,
        `transfer-encoding: chunked\r\ncontent-length: 4\r\n`,
        `content-length: 4\r\ncontent-length: 5\r\n`,
        `transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n`,
        `transfer-encoding: xchunked\r\n`,
        `transfer-encoding : chunked\r\n`,
        `content-length: +4\r\n`,
        `content-length: 4\r\nconnection: content-length\r\n`,
        `connection: transfer-encoding\r\ntransfer-encoding: chunked\r\n`,
      ]) {
        await ask('api', { method: 'POST', path: '/two', headers, body: `0\r\n\r\n${smuggled}`, quiet: 200 });
        assert.ok(!api.seen.some(({ url }) => url.includes('smuggled')), headers);
      }
      // The upstream had requests of one kind alone, each with our credential once.
      for (const { url, headers, raw } of api.seen) {
        assert.equal(url, '/two');
        assert.equal(headers.authorization, `Bearer ${CANARY}`);
        assert.equal(raw.filter((name) => name.toLowerCase() === 'authorization').length, 1);
        assert.ok(!(headers['content-length'] !== undefined && headers['transfer-encoding'] !== undefined), 'one way of saying the length');
      }
    });

    test('that breaks lines in a header gets past no rule for headers', async () => {
      // The runtime takes a lone CR or LF for the end of a line, so what stands behind it is a header like any other.
      await ask('api', { path: '/lines', headers: 'x-a: 1\rx-forwarded-for: 192.0.2.1\r\nx-b: 1\ncookie: a=b\r\n x-folded: 3\r\n' });
      for (const { headers } of api.seen.filter(({ url }) => url === '/lines')) {
        for (const name of ['x-forwarded-for', 'cookie', 'x-folded']) assert.equal(headers[name], undefined, name);
      }
      for (const end of ['\r', '\n']) {
        const answer = await ask('api', { path: '/second', headers: `x-a: 1${end}authorization: Bearer other\r\n` });
        assert.ok(statuses(answer).every((status) => status >= 400), answer);
      }
      assert.ok(!api.seen.some(({ url }) => url === '/second'), 'nothing arrived');
    });

    test('with trailers reaches the upstream without them, or not at all, and the next request is answered', async () => {
      const trailers = '2\r\nhi\r\n0\r\nauthorization: Bearer mine\r\nx-trailer: 1\r\n\r\n';
      const answer = await ask('api', { method: 'POST', path: '/trailers', headers: 'transfer-encoding: chunked\r\ntrailer: x-trailer\r\n', body: trailers, quiet: 200 });
      // The runtime takes trailers for the next request, which is none.
      assert.ok(statuses(answer).slice(1).every((status) => status >= 400), answer);
      for (const { headers } of api.seen.filter(({ url }) => url === '/trailers')) {
        assert.equal(headers.authorization, `Bearer ${CANARY}`);
        for (const name of ['x-trailer', 'trailer']) assert.equal(headers[name], undefined, name);
      }
      assert.equal((await world.call('api', '/next')).status, 200);
    });

    test('with very many headers, or very large ones, is answered and breaks nothing', async () => {
      const many = Array.from({ length: 400 }, (_, index) => `x-many-${index}: ${index}\r\n`).join('');
      const answer = await ask('api', { path: '/many', headers: many });
      assert.deepEqual(statuses(answer), [200], answer.slice(0, 300));
      const { headers } = api.seen.find(({ url }) => url === '/many');
      assert.equal(Object.keys(headers).filter((name) => name.startsWith('x-many-')).length, 400);
      // `Connection` names every one of them.
      const named = Array.from({ length: 400 }, (_, index) => `x-many-${index}`).join(', ');
      await ask('api', { path: '/named', headers: `${many}connection: ${named}\r\n` });
      const bare = api.seen.find(({ url }) => url === '/named');
      assert.equal(Object.keys(bare.headers).filter((name) => name.startsWith('x-many-')).length, 0);
      const beyond = await ask('api', { path: '/beyond', headers: `x-large: ${'l'.repeat(2 * 1024 * 1024)}\r\n` });
      assert.ok(statuses(beyond).every((status) => status >= 400), beyond.slice(0, 200));
      assert.equal((await world.call('api', '/next')).status, 200);
    });

    test('that repeats a header sends one value where it counts, and all of its own', async () => {
      const answer = await ask('api', { path: '/repeats', headers: 'x-own: 1\r\nx-own: 2\r\naccept: a/b\r\naccept: c/d\r\n' });
      assert.deepEqual(statuses(answer), [200]);
      const { headers } = api.seen.find(({ url }) => url === '/repeats');
      assert.equal(headers['x-own'], '1, 2');
      assert.equal(headers.accept, 'a/b, c/d');
      const token = await world.token('api');
      const before = api.seen.length;
      for (const more of [`x-api-key: ${token}x\r\n`, 'authorization: Bearer other\r\n', `x-api-key: ${token}\r\nx-api-key: other\r\n`, 'authorization: Basic eA==\r\n']) {
        assert.deepEqual(statuses(await ask('api', { headers: more })), [401], more);
      }
      assert.equal(api.seen.length, before, 'nothing arrived');
    });

    test('cannot reach another path or method than it may', async () => {
      const before = api.seen.length;
      for (const path of ['/models%2f..%2fkeys', '//models', '/models//', '/models/..;/keys', '/models/%2e%2e/keys', '/models/%252e%252e/keys', '/models%5c..%5ckeys', '/models/.%2e/keys', '/models/x%00', '/models;/keys', '/MODELS', '/keys', '/models/../keys', '/models?/../keys#', '/models/x/y', '/%6dodels']) {
        const [status] = statuses(await ask('guarded', { path }));
        assert.ok(status === 400 || status === 403, `${path}: ${status}`);
      }
      for (const method of ['DELETE', 'PUT', 'PATCH', 'PURGE', 'TRACE', 'TRACK', 'get', 'Post', 'CONNECT', 'FOO', 'GET\tx', 'HEAD', 'OPTIONS']) {
        const answer = await ask('guarded', { method, path: '/models' });
        assert.ok(statuses(answer).every((status) => status >= 400), `${method}: ${answer.slice(0, 100)}`);
      }
      for (const header of ['x-http-method-override: DELETE', 'x-http-method: DELETE', 'x-method-override: DELETE', 'x-original-url: /keys', 'x-rewrite-url: /keys']) {
        await ask('guarded', { method: 'POST', path: '/models', headers: `${header}\r\ncontent-length: 0\r\n` });
        const { headers, method, url } = api.seen.at(-1);
        assert.deepEqual([method, url, headers[header.split(':')[0]]], ['POST', '/v1/models', undefined], header);
      }
      assert.ok(api.seen.slice(before).every(({ url }) => url === '/v1/models'), 'nothing else arrived');
      const asked = await ask('guarded', { path: '/models?next=/../keys%2f..' });
      assert.deepEqual(statuses(asked), [200]);
      assert.equal(api.seen.at(-1).url, '/v1/models?next=/../keys%2f..', 'a query is no path');
    });

    test('that hangs up in the middle of its body is no whole request to the upstream', async () => {
      const { hostname, port } = new URL(world.url);
      const socket = connect(Number(port), hostname);
      socket.on('error', () => {});
      socket.write(`POST /proxy/api/open?cut HTTP/1.1\r\nhost: sts.example.com\r\nauthorization: Bearer ${await world.token('api')}\r\ncontent-length: 1000\r\n\r\nonly this`);
      let entry;
      while (!(entry = api.seen.find(({ url }) => url === '/open?cut'))) await sleep(10);
      socket.resetAndDestroy();
      assert.equal(await entry.done, 'aborted');
      assert.equal((await world.event(({ path }) => path === '/open')).outcome, 'unavailable');
    });
  });

  describe('an upstream', () => {
    test('with trailers loses them', async () => {
      const answer = await ask('trailers');
      assert.deepEqual(statuses(answer), [200]);
      assert.ok(!/x-late|set-cookie|^trailer:/im.test(answer), answer);
      assert.ok(answer.includes('ok'));
    });

    test('that resets the connection, or stops within the head, has not answered', async () => {
      for (const name of ['resets', 'half', 'drips']) {
        const answer = await world.call(name, `/${name}`);
        const { error } = await answer.json();
        assert.deepEqual([answer.status, error, answer.headers.get('x-octo-sts-error')], [503, 'unavailable', 'unavailable'], name);
        const event = await world.event(({ path }) => path === `/${name}`);
        assert.deepEqual([event.outcome, event.status], ['unavailable', undefined], name);
      }
    });

    test('that breaks off in the middle fails the stream, after what it had sent', async () => {
      const answer = await world.call('midway', '/');
      const reader = answer.body.getReader();
      assert.equal(Buffer.from((await reader.read()).value).toString(), 'first');
      // The stream in the Worker fails. What the local runtime writes then is its own affair: it ends a chunked answer.
      const more = await reader.read().catch(() => ({ done: true }));
      assert.equal(more.done, true, 'nothing is made up');
    });

    test('with very many headers passes them; with enormous ones it has not answered', async () => {
      const answer = await ask('many');
      assert.deepEqual(statuses(answer), [200]);
      assert.equal([...answer.matchAll(/^x-many-/gm)].length, 500);
      const [status] = statuses(await ask('enormous'));
      assert.equal(status, 503);
    });

    test('that says more than one answer has said one', async () => {
      const answer = await ask('twice', { quiet: 200 });
      assert.deepEqual(statuses(answer), [200]);
      assert.ok(!answer.includes('second'), answer);
    });

    test('that says its length in two ways desynchronises nobody', async () => {
      const answer = await ask('both', { quiet: 200 });
      assert.equal(statuses(answer).length, 1);
      assert.ok(!(/^content-length:/im.test(answer) && /^transfer-encoding:/im.test(answer)), answer);
    });

    test('with a status that is none has not answered', async () => {
      for (const name of ['upgraded', 'beyond', 'below']) {
        const answer = await world.call(name, '/a');
        assert.deepEqual([answer.status, answer.headers.get('x-octo-sts-error')], [503, 'unavailable'], name);
        assert.equal(answer.headers.get('upgrade'), null);
      }
    });

    test('that redirects to two places redirects to none', async () => {
      for (const name of ['torn', 'torn2']) {
        const answer = await world.call(name, '/a');
        assert.deepEqual([answer.status, answer.headers.get('location')], [302, null], name);
      }
    });

    test('with control characters in its reason is passed without the reason', async () => {
      // The runtime reads them, and refuses to write them.
      const answer = await ask('reason');
      assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
      assert.match(answer, /^content-encoding: gzip\r$/im);
      assert.match(answer, /^x-octo-sts-remaining: \d+\r$/im);
      assert.ok(answer.endsWith('\r\n\r\nok'), answer);
    });

    test('with a header in Latin-1 is passed byte for byte', async () => {
      assert.match(await ask('latin'), /^x-latin: caf\u00e9\r$/m);
    });
  });

  test('nobody was told a secret', () => {
    const written = world.logs.map(({ message }) => message).join('\n');
    for (const secret of [CANARY, ...world.tokens]) assert.ok(!written.includes(secret));
  });
});
