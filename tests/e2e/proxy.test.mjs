// The proxy on the real runtime, with upstreams on raw sockets: what arrives, what comes back, when, and what is never
// seen.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

import { CANARY, Proxied } from './support/proxied.mjs';
import { DOMAIN } from './support/worker.mjs';
import { bytes, count, echo, events, rawUpstream, upstream } from './support/upstream.mjs';

const MB = 1024 * 1024;

describe('the proxy', () => {
  let world, api, broken, silent, interim, garbage, cut, huge, bare, reset;

  before(async () => {
    const slow = async (request, response) => { await sleep(30_000, undefined, { ref: false }); response.end('late'); };
    api = await upstream({
      '/events': events(['data: 1\n\n', 'data: 2\n\n', 'data: 3\n\n'], 300),
      '/bytes': bytes(100 * MB),
      '/count': count,
      '/slow': slow,
      '/redirect': (_, response) => response.writeHead(302, { location: new URL(_.url, 'http://x').searchParams.get('to') }).end(),
      '/gzip': (_, response) => { response.writeHead(200, { 'content-encoding': 'gzip', 'content-type': 'text/plain' }); response.end(gzipSync('hello')); },
      '/status': (_, response) => response.writeHead(Number(_.url.split('/')[2]), { 'x-of': 'upstream', 'set-cookie': 'a=b' }).end(),
      '/forever': events(Array.from({ length: 500 }, (_, index) => `data: ${index}\n\n`), 50),
    });
    silent = await rawUpstream(undefined);
    interim = await rawUpstream('HTTP/1.1 103 Early Hints\r\nset-cookie: secret=1\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
    garbage = await rawUpstream('what is this\r\n\r\n');
    cut = await rawUpstream('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly this');
    huge = await rawUpstream(`HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-huge: ${'h'.repeat(12 * 1024)}\r\n\r\nok`);
    broken = await rawUpstream('HTTP/1.1 200 OK\r\nconnection: x-named\r\nx-named: hop\r\nx-octo-sts-error: unavailable\r\nset-cookie: a=b\r\nalt-svc: h3\r\nstrict-transport-security: max-age=1\r\naccess-control-allow-origin: *\r\nvary: Accept\r\ncontent-length: 2\r\n\r\nok');
    bare = await rawUpstream('HTTP/1.1 200 OK\r\n\r\n');
    reset = await rawUpstream('HTTP/1.1 205 Reset Content\r\ncontent-length: 2\r\n\r\nno');
    world = await Proxied.start({
      api: { url: api.url },
      prefixed: { url: `${api.url}/v1`, paths: ['/.*'] },
      silent: { url: silent.url, first_byte_timeout_seconds: 1 },
      interim: { url: interim.url },
      garbage: { url: garbage.url },
      cut: { url: cut.url },
      huge: { url: huge.url },
      bare: { url: bare.url },
      reset: { url: reset.url },
      broken: { url: broken.url, cors: { origin: 'https://app.example.com' } },
      refused: { url: 'http://127.0.0.1:9' },
      once: { url: api.url, max_requests: 1 },
      fifty: { url: api.url, max_requests: 50 },
      keyed: { url: api.url, credential: { secret: { name: 'EXAMPLE_API_KEY', header: 'x-api-key' } } },
      closed: { url: api.url, credential: { secret: { name: 'MISSING_API_KEY' } } },
    });
  });
  after(async () => {
    await world?.stop();
    for (const server of [api, silent, interim, garbage, cut, huge, broken, bare, reset]) await server?.close();
  });

  /** A request from raw bytes; resolves to the text of the whole answer. */
  async function raw(text, { until = 3000 } = {}) {
    const { hostname, port } = new URL(world.url);
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    let answer = '';
    const complete = new Promise((resolve) => socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
      const [head, body] = answer.split('\r\n\r\n', 2);
      const length = /^content-length: (\d+)$/im.exec(head)?.[1];
      if (body !== undefined && (length === undefined ? answer.endsWith('0\r\n\r\n') : body.length >= Number(length))) resolve();
    }));
    socket.write(text);
    await Promise.race([once(socket, 'close'), complete, sleep(until)]);
    socket.destroy();
    return answer;
  }

  test('puts the credential in place of the token and passes the rest', async () => {
    const token = await world.token('api');
    const answer = await fetch(`${world.url}/proxy/api/v1/messages?beta=true&q='%20`, {
      method: 'POST', body: 'hello', headers: { authorization: `Bearer ${token}`, 'x-custom': 'kept', cookie: 'a=b', 'x-forwarded-for': '192.0.2.1' },
    });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('x-octo-sts-remaining'), '9999');
    const seen = await answer.json();
    assert.equal(seen.method, 'POST');
    assert.equal(seen.url, '/v1/messages?beta=true&q=%27%20', 'as it came, but for the apostrophe');
    assert.equal(seen.body, 'hello');
    assert.equal(seen.headers.authorization, `Bearer ${CANARY}`);
    assert.equal(seen.headers['x-custom'], 'kept');
    assert.equal(seen.headers['content-length'], '5', 'a known length stays known');
    assert.equal(seen.headers.host, new URL(api.url).host);
    // What the runtime makes of `cache: no-store`: no cache of Cloudflare's is between us and the upstream.
    assert.deepEqual([seen.headers['cache-control'], seen.headers.pragma], ['no-cache', 'no-cache']);
    for (const name of ['cookie', 'x-forwarded-for', 'cf-connecting-ip', 'cf-ray', 'x-real-ip', 'expect', 'cdn-loop']) {
      assert.equal(seen.headers[name], undefined, name);
    }
    assert.ok(!JSON.stringify(seen).includes(token), 'the token stays here');
    const event = await world.event(({ path }) => path === '/v1/messages');
    assert.equal(event.outcome, 'forwarded');
    assert.equal(event.status, 200);
    assert.equal(typeof event.first_byte_ms, 'number');
  });

  test('takes the token from the header that the credential goes into, and sets that alone', async () => {
    const token = await world.token('keyed');
    const answer = await fetch(`${world.url}/proxy/keyed/a`, { headers: { 'x-api-key': token } });
    const { headers } = await answer.json();
    assert.equal(headers['x-api-key'], CANARY);
    assert.equal(headers.authorization, undefined);
  });

  test('passes the path as it came, and refuses what the runtime would write differently', async () => {
    const authorization = `Bearer ${await world.token('api')}`;
    const ask = (target, more = '') => raw(`GET ${target} HTTP/1.1\r\nhost: sts.example.com\r\nauthorization: ${authorization}\r\nconnection: close\r\n${more}\r\n`);
    for (const path of ['/a//b', '/a%2Fb', '/a%5cb', '/%zz', '/%00', '/a|b', '/[]', "/'", '/a?', '/a??b', '/a?b&&c', '/a?`{}^|']) {
      const answer = await ask(`/proxy/api${path}`);
      assert.match(answer, /^HTTP\/1\.1 200 /, `${path}: ${answer.slice(0, 500)}`);
      assert.equal(api.seen.at(-1).url, path);
    }
    const before = api.seen.length;
    for (const path of ['/%2e%2e/b', '/a/%2E', '/a\\b', '/a#b', '/a"', '/a<', '/a>', '/a`', '/a{', '/a}', '/a^', '/a?"', '/a?<', '/a\u00e9', '/a?\u00e9']) {
      assert.match(await ask(`/proxy/api${path}`), /^HTTP\/1\.1 400 /, path);
    }
    const key = `x-api-key: ${await world.token('prefixed')}\r\n`;
    for (const path of ['/a%2fb', '//a', '/..;/a', '/%252e']) {
      const answer = await raw(`GET /proxy/prefixed${path} HTTP/1.1\r\nhost: sts.example.com\r\n${key}connection: close\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 400 /, path);
    }
    assert.match(await ask('/proxy/api/a', 'transfer-encoding: chunked\r\n\r\n0\r\n'), /^HTTP\/1\.1 400 /);
    assert.match(await ask('/proxy/api/../../sts/exchange'), /^HTTP\/1\.1 (400|401|404|500) /, 'resolved before, it is another route');
    assert.equal(api.seen.length, before, 'nothing arrived');
  });

  test('drops what `Connection` names, and a hop-by-hop credential gains nothing', async () => {
    const token = await world.token('api');
    await raw(`POST /proxy/api/hop HTTP/1.1\r\nhost: sts.example.com\r\nx-api-key: ${token}\r\nconnection: close, x-secret, authorization\r\nx-secret: 1\r\nexpect: 100-continue\r\nte: trailers\r\nproxy-authorization: Basic eA==\r\nx-http-method-override: DELETE\r\ncontent-length: 2\r\n\r\nhi`);
    const { headers, method } = api.seen.find(({ url }) => url === '/hop');
    assert.equal(method, 'POST');
    assert.equal(headers.authorization, `Bearer ${CANARY}`);
    for (const name of ['x-secret', 'expect', 'te', 'proxy-authorization', 'x-http-method-override', 'x-api-key']) {
      assert.equal(headers[name], undefined, name);
    }
    const doubled = await raw(`GET /proxy/api/hop2 HTTP/1.1\r\nhost: sts.example.com\r\nx-api-key: ${token}\r\nx-api-key: other\r\nconnection: close\r\n\r\n`);
    assert.match(doubled, /^HTTP\/1\.1 401 /);
  });

  test('an event reaches the caller while the upstream still writes', async () => {
    const started = performance.now();
    const answer = await world.call('api', '/events');
    assert.equal(answer.headers.get('content-type'), 'text/event-stream');
    const times = [];
    const texts = [];
    for await (const chunk of answer.body) {
      times.push(performance.now() - started);
      texts.push(Buffer.from(chunk).toString());
    }
    assert.equal(texts.join(''), 'data: 1\n\ndata: 2\n\ndata: 3\n\n');
    assert.equal(times.length, 3);
    assert.ok(times[1] - times[0] > 200 && times[2] - times[1] > 200, `the pauses are seen: ${times}`);
  });

  test('curl -N sees events one by one', async () => {
    const token = await world.token('api');
    const curl = spawn('curl', ['-sN', '-H', `authorization: Bearer ${token}`, `${world.url}/proxy/api/events`]);
    const times = [];
    curl.stdout.on('data', () => times.push(performance.now()));
    await once(curl, 'close');
    assert.equal(times.length, 3);
    assert.ok(times[2] - times[0] > 400, `${times}`);
  });

  test('compressed bytes pass untouched', async () => {
    const authorization = `Bearer ${await world.token('api')}`;
    const { hostname, port } = new URL(world.url);
    const request = httpRequest({ hostname, port, path: '/proxy/api/gzip', headers: { authorization, 'accept-encoding': 'gzip' } });
    request.end();
    const [response] = await once(request, 'response');
    const chunks = [];
    for await (const chunk of response) chunks.push(chunk);
    assert.equal(response.headers['content-encoding'], 'gzip');
    assert.deepEqual(Buffer.concat(chunks), gzipSync('hello'));
  });

  test('100 MB go through in both directions', async () => {
    const down = await world.call('api', '/bytes');
    let total = 0;
    for await (const chunk of down.body) total += chunk.length;
    assert.equal(total, 100 * MB);
    const authorization = `Bearer ${await world.token('api')}`;
    const { hostname, port } = new URL(world.url);
    const request = httpRequest({ hostname, port, method: 'POST', path: '/proxy/api/count', headers: { authorization, 'content-length': 100 * MB } });
    const chunk = Buffer.alloc(MB, 'y');
    for (let sent = 0; sent < 100; sent += 1) if (!request.write(chunk)) await once(request, 'drain');
    request.end();
    const [response] = await once(request, 'response');
    let text = '';
    for await (const part of response) text += part;
    assert.deepEqual(JSON.parse(text), { total: 100 * MB, length: String(100 * MB) });
  });

  test('statuses are the upstream\'s, and its cookies are not passed', async () => {
    for (const status of [200, 201, 204, 304, 400, 401, 404, 429, 500, 503, 529]) {
      const answer = await world.call('api', `/status/${status}`);
      assert.equal(answer.status, status);
      assert.equal(answer.headers.get('x-of'), 'upstream');
      assert.equal(answer.headers.get('x-octo-sts-error'), null);
      assert.equal(answer.headers.get('set-cookie'), null);
      await answer.arrayBuffer();
    }
    for (const status of [520, 527, 530]) {
      const answer = await world.call('api', `/status/${status}`);
      assert.equal(answer.status, 503);
      assert.equal(answer.headers.get('x-octo-sts-error'), 'unavailable');
    }
    // Neither the method nor a trailing slash is read as elsewhere in this service.
    const head = await world.call('api', '/a/', { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.deepEqual([api.seen.at(-1).method, api.seen.at(-1).url], ['HEAD', '/a/']);
  });

  test('an answer without a header, and one that may have no body, are passed on', async () => {
    const answer = await world.call('bare', '/');
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('x-octo-sts-remaining'), '9999');
    assert.equal(await answer.text(), '');
    const empty = await world.call('reset', '/');
    assert.equal(empty.status, 205);
    assert.equal(await empty.text(), '');
  });

  test('an answer loses what is not for the caller', async () => {
    const answer = await world.call('broken', '/a', { headers: { origin: 'https://app.example.com' } });
    assert.equal(await answer.text(), 'ok');
    for (const name of ['x-named', 'x-octo-sts-error', 'set-cookie', 'alt-svc', 'strict-transport-security']) {
      assert.equal(answer.headers.get(name), null, name);
    }
    assert.equal(answer.headers.get('access-control-allow-origin'), 'https://app.example.com');
    assert.equal(answer.headers.get('vary'), 'Accept, Origin');
    const preflight = await fetch(`${world.url}/proxy/broken/a`, {
      method: 'OPTIONS', headers: { origin: 'https://app.example.com', 'access-control-request-method': 'POST' },
    });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get('access-control-allow-methods'), 'POST');
    assert.equal(preflight.headers.get('access-control-max-age'), '600');
  });

  test('a redirect is the caller\'s to follow, within the upstream alone', async () => {
    const location = async (to) => {
      const answer = await world.call('api', `/redirect?to=${encodeURIComponent(to)}`);
      assert.equal(answer.status, 302);
      return answer.headers.get('location');
    };
    const arrived = api.seen.length;
    assert.equal(await location(`${api.url}/next?x=1`), '/proxy/api/next?x=1');
    assert.equal(await location('/next'), '/proxy/api/next');
    for (const elsewhere of ['https://evil.example.com/', '//evil.example.com/', `${api.url}.evil.example.com/`, 'http://127.0.0.1:9/']) {
      assert.equal(await location(elsewhere), null, elsewhere);
    }
    assert.ok(!api.seen.slice(arrived).some(({ url }) => url.startsWith('/next')), 'nobody followed');
  });

  test('an upstream that does not answer is a 503', async () => {
    for (const name of ['refused', 'garbage', 'interim', 'silent']) {
      const started = performance.now();
      const answer = await world.call(name, `/${name}`);
      assert.equal(answer.status, 503, name);
      assert.equal(answer.headers.get('x-octo-sts-error'), 'unavailable');
      assert.equal(answer.headers.get('cache-control'), 'no-store');
      assert.equal(answer.headers.get('set-cookie'), null);
      const body = await answer.json();
      assert.equal(body.error, 'unavailable');
      assert.ok(performance.now() - started < 5000, name);
      const event = await world.event(({ path }) => path === `/${name}`);
      assert.equal(event.outcome, 'unavailable');
    }
    for (let tries = 0; silent.open() > 0 && tries < 50; tries += 1) await sleep(20);
    assert.equal(silent.open(), 0, 'the request was ended');
    assert.equal((await world.call('huge', '/a')).status, 200);
  });

  test('an upstream that breaks off fails the stream', async () => {
    const answer = await world.call('cut', '/a');
    assert.equal(answer.status, 200);
    await assert.rejects(answer.text());
  });

  test('a caller that hangs up ends the upstream\'s request, before and after the head', async () => {
    const { hostname, port } = new URL(world.url);
    for (const [path, afterHead] of [['/slow', false], ['/forever', true]]) {
      const authorization = `Bearer ${await world.token('api')}`;
      const socket = connect(Number(port), hostname);
      socket.on('error', () => {});
      const unique = `${path}/${Math.random().toString(36).slice(2)}`;
      socket.write(`GET /proxy/api${unique} HTTP/1.1\r\nhost: sts.example.com\r\nauthorization: ${authorization}\r\n\r\n`);
      let entry;
      while (!(entry = api.seen.find(({ url }) => url === unique))) await sleep(10);
      if (afterHead) await once(socket, 'data');
      await sleep(100);
      socket.resetAndDestroy();
      const closed = await Promise.race([entry.done, sleep(3000)]);
      assert.equal(closed, 'aborted', path);
      const event = await world.event((event) => event.path === unique);
      assert.equal(event.outcome, afterHead ? 'forwarded' : 'unavailable');
    }
  });

  test('exactly as many pass at once as the budget has', async () => {
    const ask = async (name, requests) => {
      const claims = { run_id: `at-once-${name}` };
      const answers = await Promise.all(Array.from({ length: requests }, () => world.call(name, '/a', { claims })));
      const texts = await Promise.all(answers.map((answer) => answer.text()));
      return answers.map(({ status, headers }, index) => ({ status, error: headers.get('x-octo-sts-error'), text: texts[index] }));
    };
    const one = await ask('once', 50);
    assert.equal(one.filter(({ status }) => status === 200).length, 1);
    assert.equal(one.filter(({ error }) => error === 'budget_exhausted').length, 49);
    const fifty = await ask('fifty', 200);
    assert.equal(fifty.filter(({ status }) => status === 200).length, 50);
    assert.ok(fifty.filter(({ status }) => status !== 200).every(({ error }) => ['budget_exhausted', 'rate_limited'].includes(error)));
  });

  test('an upgrade is authenticated and refused', async () => {
    const upgrade = 'connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n';
    const ask = (authorization) => raw(`GET /proxy/api/a HTTP/1.1\r\nhost: sts.example.com\r\n${authorization}${upgrade}\r\n`, { until: 1000 });
    assert.match(await ask(''), /^HTTP\/1\.1 401 /);
    assert.match(await ask(`authorization: Bearer ${await world.token('api')}\r\n`), /^HTTP\/1\.1 501 /);
  });

  test('without its secret an upstream is closed, and the others work', async () => {
    const answer = await world.call('closed', '/a');
    assert.equal(answer.status, 500);
    assert.match((await answer.json()).message, /`MISSING_API_KEY`/);
    assert.equal((await fetch(`${world.url}/proxy/closed/a`)).status, 401, 'strangers learn nothing');
  });

  test('no secret, token, body or query is ever written', async () => {
    const answer = await world.call('api', '/secretive?query-canary=1', { method: 'POST', body: 'body-canary' });
    await answer.text();
    await world.event(({ path }) => path === '/secretive');
    const written = world.logs.map(({ message }) => message).join('\n');
    for (const secret of [CANARY, 'query-canary', 'body-canary', ...world.tokens]) {
      assert.ok(!written.includes(secret), secret);
    }
    assert.ok(!written.includes('panic'));
  });
});

describe('a proxy without the budgets\' binding', () => {
  test('is closed and says which', async () => {
    const world = await Proxied.start({ api: { url: 'http://127.0.0.1:9' } }, { withoutBudgets: true });
    try {
      const answer = await world.call('api', '/a');
      assert.equal(answer.status, 500);
      assert.match((await answer.json()).message, /`PROXY_BUDGETS`/);
      const ready = await (await fetch(`${world.url}/readyz`)).json();
      assert.ok(ready.missing.includes('PROXY_BUDGETS'));
    } finally {
      await world.stop();
    }
  });
});

describe('a proxy whose budgets do not answer as they should', { concurrency: true }, () => {
  const standIn = (answer) => `
    import { DurableObject } from 'cloudflare:workers';
    export class StandIn extends DurableObject { async fetch() { ${answer} } }`;

  for (const [what, answer] of [
    ['hang', 'return new Promise((resolve) => setTimeout(resolve, 60_000));'],
    ['throw', 'throw new Error("moved");'],
    ['say nothing', 'return new Response("taken 1");'],
    ['say what is no verdict', 'return new Response(null, { headers: { "x-verdict": "taken" } });'],
    ['refuse', 'return new Response(null, { status: 500, headers: { "x-verdict": "taken 1" } });'],
  ]) {
    test(`lets nothing through where they ${what}`, async () => {
      const api = await upstream({});
      const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
      const world = await Proxied.start({ api: { url: api.url } }, { budgets: 'StandIn', standIn: standIn(answer), vars: { ISSUER_PRIVATE_KEY: key } });
      try {
        const token = await world.token('api');
        const begin = () => fetch(`${world.url}/sts/token`, {
          method: 'POST',
          body: new URLSearchParams({
            grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
            subject_token: token,
            subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
            resource: `https://${DOMAIN}/proxy/api`,
          }),
        });
        for (const answer of await Promise.all([world.call('api', '/a'), begin()])) {
          assert.equal(answer.status, 503);
          assert.equal(answer.headers.get('retry-after'), '5');
          assert.equal((await answer.json()).message, 'the record of budgets did not answer');
        }
        assert.equal(api.seen.length, 0, 'nothing was sent');
        assert.equal((await world.event(({ event }) => event === 'proxy')).outcome, 'unavailable');
        assert.equal((await world.event(({ event }) => event === 'session')).outcome, 'unavailable');
      } finally {
        await world.stop();
        await api.close();
      }
    });
  }

  test('is closed where something else is bound', async () => {
    const world = await Proxied.start({ api: { url: 'http://127.0.0.1:9' } }, { withoutBudgets: true, vars: { PROXY_BUDGETS: 'text' } });
    try {
      const answer = await world.call('api', '/a');
      assert.equal(answer.status, 500);
      assert.match((await answer.json()).message, /`PROXY_BUDGETS`/);
    } finally {
      await world.stop();
    }
  });
});
