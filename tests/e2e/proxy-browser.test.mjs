// Pages in a real browser: an allowed origin's preflight and call pass, streams included; another origin's are refused by
// the browser itself, because of what the proxy says and does not say.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';

import { Chromium, needsChromium } from '../support/chromium.mjs';
import { CANARY, Proxied } from './support/proxied.mjs';
import { events, upstream } from './support/upstream.mjs';

/** An origin of its own, with an empty page. */
async function origin() {
  const server = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>page</title>'));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => new Promise((resolve) => server.close(resolve).closeAllConnections()) };
}

describe('a page in a browser', needsChromium(), () => {
  let world, api, app, elsewhere, browser, page, stranger;

  before(async () => {
    [app, elsewhere] = [await origin(), await origin()];
    api = await upstream({
      '/v1/events': events(['data: 1\n\n', 'data: 2\n\n'], 300),
      '/v1/cookie': (_, response) => response.writeHead(200, { 'set-cookie': 'upstream=1; Path=/', 'access-control-allow-origin': '*', 'access-control-allow-credentials': 'true' }).end('ok'),
    });
    world = await Proxied.start({
      app: { url: api.url, cors: { origin: app.url, headers: ['anthropic-version'] }, methods: ['POST', 'PUT', 'GET'] },
      any: { url: api.url, cors: { origin: '*' } },
      none: { url: api.url },
    });
    browser = await Chromium.start();
    page = await browser.open(app.url);
    stranger = await browser.open(elsewhere.url);
  });
  after(async () => {
    await browser?.close();
    await world?.stop();
    for (const server of [api, app, elsewhere]) await server?.close();
  });

  /** What `fetch` in the page comes to: what a script can see of the answer, or the browser's refusal. */
  async function call(where, upstream, path, { token = true, ...init } = {}) {
    const authorization = token ? { authorization: `Bearer ${await world.token(upstream)}` } : {};
    const asked = { ...init, headers: { ...authorization, ...init.headers } };
    return where.value(`fetch(${JSON.stringify(`${world.url}/proxy/${upstream}${path}`)}, ${JSON.stringify(asked)}).then(
      async (answer) => ({ status: answer.status, headers: Object.fromEntries(answer.headers), text: await answer.text() }),
      (error) => ({ refused: error.name }),
    )`);
  }

  const post = { method: 'POST', body: '{"q":1}', headers: { 'content-type': 'application/json', 'anthropic-version': '2023-06-01' } };

  test('of the allowed origin calls, and reads our headers', async () => {
    const answer = await call(page, 'app', '/v1/echo', post);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['x-octo-sts-remaining'], '9999');
    assert.match(answer.headers['x-octo-sts-request-id'], /./);
    const seen = JSON.parse(answer.text);
    assert.equal(seen.method, 'POST');
    assert.equal(seen.body, '{"q":1}');
    assert.equal(seen.headers.origin, app.url);
    assert.equal(seen.headers.authorization, `Bearer ${CANARY}`);
    assert.ok(!api.seen.some(({ method }) => method === 'OPTIONS'), 'the preflight ends here');
    assert.equal(world.events().filter(({ path }) => path === '/v1/echo').length, 1, 'and leaves no event');
    assert.equal((await call(page, 'app', '/v1/echo', { ...post, method: 'PUT' })).status, 200);
  });

  test('of the allowed origin reads a stream event by event', async () => {
    const token = await world.token('app');
    const times = await page.value(`(async () => {
      const answer = await fetch(${JSON.stringify(`${world.url}/proxy/app/v1/events`)}, { headers: { authorization: ${JSON.stringify(`Bearer ${token}`)} } });
      const [reader, times] = [answer.body.getReader(), []];
      while (!(await reader.read()).done) times.push(performance.now());
      return times;
    })()`);
    assert.equal(times.length, 2);
    assert.ok(times[1] - times[0] > 200, `${times}`);
  });

  test('of the allowed origin reads our refusals too', async () => {
    const answer = await call(page, 'app', '/v1/echo', { ...post, token: false });
    assert.equal(answer.status, 401);
    assert.equal(answer.headers['x-octo-sts-error'], 'invalid_token');
    assert.equal(JSON.parse(answer.text).error, 'invalid_token');
  });

  test('is held to the methods and headers that the preflight allows', async () => {
    const arrived = api.seen.length;
    assert.deepEqual(await call(page, 'app', '/v1/echo', { method: 'DELETE' }), { refused: 'TypeError' });
    assert.deepEqual(await call(page, 'app', '/v1/echo', { headers: { 'x-unlisted': '1' } }), { refused: 'TypeError' });
    assert.deepEqual(await call(page, 'app', '/v1/echo', { credentials: 'include' }), { refused: 'TypeError' }, 'cookies are never allowed');
    assert.equal(api.seen.length, arrived, 'nothing arrived');
  });

  test('of another origin is refused by the browser, and nothing reaches the upstream', async () => {
    const arrived = api.seen.length;
    assert.deepEqual(await call(stranger, 'app', '/v1/echo', post), { refused: 'TypeError' });
    assert.deepEqual(await call(page, 'none', '/v1/echo', post), { refused: 'TypeError' }, 'without `cors` there is no origin');
    assert.equal(api.seen.length, arrived, 'nothing arrived');
    // Even what needs no preflight tells it nothing.
    assert.deepEqual(await call(stranger, 'app', '/v1/echo', { token: false }), { refused: 'TypeError' });
  });

  test('of any origin calls where any is allowed, and no cookie of the upstream stays in the browser', async () => {
    const { text, headers } = await call(stranger, 'any', '/v1/cookie');
    assert.equal(text, 'ok');
    assert.equal(headers['access-control-allow-credentials'], undefined);
    const { cookies } = await browser.send('Storage.getCookies');
    assert.deepEqual(cookies, []);
  });
});
