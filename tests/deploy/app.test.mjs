// `sts app create` and `sts doctor` with GitHub played: its two pages in a real browser, and every request held against
// GitHub's own description of its API, whose examples are the answers.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, test } from 'node:test';

import { StandIn } from '../action/runner.mjs';
import { RestDescription } from '../e2e/support/rest-description.mjs';
import { Chromium, needsChromium } from '../support/chromium.mjs';
import { sts } from '../support/sts.mjs';

const rest = new RestDescription();
const example = (name) => structuredClone(rest.description.components.examples[name].value);
const folder = () => mkdtempSync(join(tmpdir(), 'octo-sts-app-'));
const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

const PEM = '-----BEGIN RSA PRIVATE KEY-----\ncanary-key\n-----END RSA PRIVATE KEY-----\n';

const cleanUp = [];
afterEach(async () => {
  for (const end of cleanUp.splice(0).reverse()) await end();
});

/** GitHub on loopback: its pages at `/`, its API at `/api/v3`. `api` are answers by method and path. */
async function github(api = {}) {
  const forms = [];
  const server = await StandIn.start((request) => {
    const { pathname, searchParams } = new URL(request.path, 'http://github');
    const call = `${request.method} ${pathname}`;
    if (call === 'POST /organizations/acme/settings/apps/new') {
      const manifest = new URLSearchParams(request.body).get('manifest');
      forms.push({ headers: request.headers, manifest: JSON.parse(manifest), state: searchParams.get('state') });
      const { name } = JSON.parse(manifest);
      return html(`<h1>Create GitHub App for acme</h1><p>${escaped(name)}</p><form method="post" action="/settings/apps?state=${searchParams.get('state')}">
        <input type="hidden" name="manifest" value="${escaped(manifest)}"><button>Create GitHub App for acme</button></form>`);
    }
    if (call === 'POST /settings/apps') {
      const back = new URL(JSON.parse(new URLSearchParams(request.body).get('manifest')).redirect_url);
      back.searchParams.set('code', 'a180b1a3d263c81bc6441d7b990bae27d4c10679');
      back.searchParams.set('state', searchParams.get('state'));
      return { status: 302, headers: { location: back.href } };
    }
    return api[call.replace(' /api/v3', ' ')] ?? { status: 404, json: { message: 'Not Found' } };
  });
  cleanUp.push(() => server.stop());
  return { server, forms, url: `http://127.0.0.1:${server.server.address().port}` };
}

const html = (body) => ({ headers: { 'content-type': 'text/html; charset=utf-8' }, text: `<!doctype html><title>GitHub</title>${body}` });

/** What is wrong with the requests to the API, by GitHub's description. */
function violations({ server }) {
  const calls = server.requests.filter(({ path }) => path.startsWith('/api/v3/'));
  return { calls: calls.map(({ method, path }) => `${method} ${path.slice(7)}`), wrong: calls.flatMap((call) => rest.violations({ ...call, path: call.path.slice(7) })) };
}

function start(args, cwd) {
  const child = spawn(sts(), args, { cwd, env: { PATH: process.env.PATH, HOME: cwd }, stdio: ['ignore', 'pipe', 'pipe'] });
  cleanUp.push(async () => {
    if (child.exitCode === null && child.kill()) await once(child, 'exit');
  });
  const said = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (said.out += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (said.err += text));
  return { child, said, closed: once(child, 'close') };
}

async function addressOf({ child, said }) {
  while (!/http:\/\/\S+\n/.test(said.err)) await once(child.stderr, 'data');
  return /http:\/\/\S+/.exec(said.err)[0];
}

const conversion = () => ({ ...example('integration-from-manifest'), id: 4711, html_url: 'https://github.com/apps/octo-sts-acme', pem: PEM, webhook_secret: 'canary-secret' });
const CREATE = ['app', 'create', '--org', 'acme', '--domain', 'sts.example.com', '--no-browser', '--out', 'secrets', '--permission', 'issues=write'];

describe('sts app create', () => {
  test('is clicked through in a browser, from the button to the last page', needsChromium(), async () => {
    const place = folder();
    const gh = await github({ 'POST /app-manifests/a180b1a3d263c81bc6441d7b990bae27d4c10679/conversions': { status: 201, json: conversion() } });
    const run = start([...CREATE, '--github', gh.url], place);
    const browser = await Chromium.start();
    cleanUp.push(() => browser.close());

    const page = await browser.open(await addressOf(run));
    assert.match(await page.text(), /^A GitHub App for sts\.example\.com\n[^]*octo-sts-acme[^]*\nissues: write\n/);
    assert.doesNotMatch(await page.text(), /redirect_url/, 'the manifest is folded away');
    await page.click('summary');
    await page.until('document.body.innerText.includes("redirect_url")');
    if (process.env.PICTURES) await page.picture(join(process.env.PICTURES, 'app-create.png'));
    await page.click('button');

    await page.until('location.pathname === "/organizations/acme/settings/apps/new"');
    assert.match(await page.text(), /octo-sts-acme/);
    assert.equal(gh.forms.length, 1);
    assert.equal(gh.forms[0].headers.origin, new URL(await addressOf(run)).origin);
    await page.click('button');

    await page.until('location.pathname === "/created" && document.readyState === "complete"');
    assert.match(await page.text(), /The App has been created/);
    assert.doesNotMatch(await page.value('document.documentElement.outerHTML'), /canary/);
    const [code] = await run.closed;
    assert.equal(code, 0, run.said.err);
    assert.doesNotMatch(run.said.out + run.said.err, /canary/);
    assert.deepEqual(readdirSync(join(place, 'secrets')).sort(), ['GITHUB_APP_ID', 'GITHUB_APP_PRIVATE_KEY', 'GITHUB_WEBHOOK_SECRET']);
    assert.equal(readFileSync(join(place, 'secrets/GITHUB_APP_PRIVATE_KEY'), 'utf8'), PEM);
    // The icon that a browser asks for by itself is not there; its policy refused nothing of the page's own.
    assert.deepEqual(browser.complaints.filter((text) => !/favicon|404/.test(text)), []);
    assert.deepEqual(violations(gh), { calls: ['POST /app-manifests/a180b1a3d263c81bc6441d7b990bae27d4c10679/conversions'], wrong: [] });
  });

  test('asks for permissions and events that GitHub describes', async () => {
    const gh = await github({ 'POST /app-manifests/abc/conversions': { status: 201, json: conversion() } });
    const run = start([...CREATE, '--github', gh.url], folder());
    const address = await addressOf(run);
    const source = await (await fetch(address)).text();
    const read = (pattern) => pattern.exec(source)[1].replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&amp;', '&');
    const manifest = JSON.parse(read(/name="manifest" value="([^"]+)"/));
    const described = rest.description.components.schemas['app-permissions'].properties;
    for (const [name, level] of Object.entries(manifest.default_permissions)) assert.ok(described[name]?.enum.includes(level), `${name}: ${level}`);
    assert.deepEqual(manifest.default_permissions, { checks: 'write', contents: 'read', issues: 'write', merge_queues: 'read', pull_requests: 'read' });
    const webhooks = Object.keys(rest.description['x-webhooks']);
    for (const event of manifest.default_events) assert.ok(webhooks.some((name) => name === event || name.startsWith(`${event.replaceAll('_', '-')}-`)), event);
    // https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
    const members = ['name', 'url', 'hook_attributes', 'redirect_url', 'callback_urls', 'setup_url', 'description', 'public', 'default_events', 'default_permissions', 'request_oauth_on_install', 'setup_on_update'];
    assert.deepEqual(Object.keys(manifest).filter((name) => !members.includes(name)), []);
    assert.deepEqual(Object.keys(manifest.hook_attributes).filter((name) => !['url', 'active'].includes(name)), []);
    const state = /state=(.+)$/.exec(read(/action="([^"]+)"/))[1];
    assert.equal((await fetch(`${address}created?code=abc&state=${state}`)).status, 200);
    assert.deepEqual([(await run.closed)[0], violations(gh).wrong], [0, []]);
  });
});

test('sts doctor asks GitHub what GitHub describes, and takes its own examples for answers', async () => {
  const place = folder();
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(join(place, 'key.pem'), privateKey.export({ type: 'pkcs1', format: 'pem' }));
  mkdirSync(join(place, 'app/.github/chainguard'), { recursive: true });
  writeFileSync(join(place, 'app/.github/chainguard/deploy.sts.yaml'), 'issuer: https://token.actions.githubusercontent.com\nsubject: repo:acme/app:ref:refs/heads/main\npermissions:\n  issues: read\n');
  const service = await StandIn.start(({ path }) => ({ '/healthz': { json: { status: 'ok' } }, '/readyz': { json: { status: 'ready', missing: [], malformed: [] } } })[path] ?? { status: 404, json: {} });
  cleanUp.push(() => service.stop());
  const permissions = { checks: 'write', contents: 'read', issues: 'read', merge_queues: 'read', metadata: 'read', pull_requests: 'read' };
  const [installation] = example('base-installation-items');
  const list = Buffer.from('issuers: [https://token.actions.githubusercontent.com]\n').toString('base64');
  const gh = await github({
    'GET /app': { json: { ...example('integration'), permissions, events: ['check_run', 'check_suite', 'merge_group', 'pull_request', 'push'] } },
    'GET /app/hook/config': { json: { ...example('webhook-config'), url: `https://${service.host}/webhook` } },
    'GET /app/hook/deliveries': { json: example('hook-delivery-items').map((delivery) => ({ ...delivery, status: 'OK', status_code: 200 })) },
    'GET /app/installations': { json: [{ ...installation, account: { ...installation.account, login: 'acme' }, permissions, suspended_at: null }] },
    [`POST /app/installations/${installation.id}/access_tokens`]: { status: 201, json: example('installation-token') },
    'GET /repos/acme/.github/contents/.github/chainguard/trusted-token-issuers.yaml': { json: { ...example('content-file-response-if-content-is-a-file'), content: list } },
    'DELETE /installation/token': { status: 204 },
  });
  const run = start(['doctor', service.url, 'app', '--app-id', '1', '--key', 'key.pem', '--org', 'acme', '--github', gh.url, '--format', 'json'], place);
  const [code] = await run.closed;
  assert.equal(code, 0, run.said.out + run.said.err);
  assert.deepEqual(JSON.parse(run.said.out).findings, []);
  assert.deepEqual(violations(gh), {
    calls: [
      'GET /app',
      'GET /app/hook/config',
      'GET /app/hook/deliveries?per_page=30',
      'GET /app/installations?per_page=100&page=1',
      `POST /app/installations/${installation.id}/access_tokens`,
      'GET /repos/acme/.github/contents/.github/chainguard/trusted-token-issuers.yaml',
      'DELETE /installation/token',
    ],
    wrong: [],
  });
  for (const { headers, path } of gh.server.requests) {
    assert.equal(headers.accept, 'application/vnd.github+json', path);
    assert.match(headers['x-github-api-version'] ?? '', /^\d{4}-\d{2}-\d{2}$/, path);
    assert.ok(headers['user-agent'], path);
  }
});
