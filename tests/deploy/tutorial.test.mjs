// docs/tutorial.md as somebody follows it: every command in its order, from an empty folder to a token, with GitHub and
// Cloudflare on loopback. What the page says that a command prints is compared.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { parse } from 'yaml';

import { archive } from '../../scripts/release/archive.mjs';
import { workerFiles } from '../../scripts/release/worker.mjs';
import { StandIn, Step } from '../action/runner.mjs';
import { APP_ID } from '../e2e/support/github.mjs';
import { DOMAIN } from '../e2e/support/worker.mjs';
import { World } from '../e2e/support/world.mjs';
import { sts } from '../support/sts.mjs';
import { Cloudflare } from './cloudflare.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const WRANGLER = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')).devDependencies.wrangler;
const MOST_COMMANDS = 12;

/** What only the real GitHub or Cloudflare can do, and so is played here. The page lists the same. */
const PLAYED = ['gh release download', 'gh attestation verify'];

const page = readFileSync(`${ROOT}docs/tutorial.md`, 'utf8').split('\n## From the sources instead')[0];
const blocks = [...page.matchAll(/^```(\w+)\n([^]*?)^```$/gm)].map(([, language, text], index) => ({ language, text, index, place: page.indexOf(text) }));
const commandsOf = (text) => text.trim().split('\n').flatMap((line) => line.split(' && '));

const place = mkdtempSync(join(tmpdir(), 'octo-sts-tutorial-'));
const inPlace = (...path) => join(place, ...path);
let world, relay, cloudflare, github;

before(async () => {
  cloudflare = await Cloudflare.start();
  // Without what `sts app create` stores.
  world = await World.start({ vars: { GITHUB_APP_ID: '', GITHUB_APP_PRIVATE_KEY: '', GITHUB_WEBHOOK_SECRET: '' } });
  relay = await StandIn.start(throughToTheWorker);
  github = await StandIn.start(gitHubsPages);
  for (const folder of ['release', 'assets', 'bin', 'home']) mkdirSync(inPlace(folder));
  prepareRelease();
  prepareRepository();
  script('npx', `[ "$1" != --yes ] || shift\ncase "$1" in wrangler@${WRANGLER}|wrangler) shift; exec '${process.execPath}' '${ROOT}node_modules/wrangler/bin/wrangler.js' "$@" ;; esac\necho "not this npx: $*" >&2; exit 1`);
  script('gh', `case "$1 $2" in
  'release download') shift 2; for pattern; do case "$pattern" in --*|acme/*) ;; *) cp '${inPlace('assets')}'/$pattern . || exit 1 ;; esac; done ;;
  'attestation verify') [ -f "$3" ] && echo "Verification succeeded: $3" ;;
  *) echo "not this gh: $*" >&2; exit 1 ;;
esac`);
});

after(async () => {
  await Promise.all([relay?.stop(), github?.stop(), cloudflare?.stop()]);
  await world?.stop();
  rmSync(place, { recursive: true, force: true });
});

function script(name, text, folder = 'bin') {
  writeFileSync(inPlace(folder, name), `#!/bin/bash\n${text}\n`);
  chmodSync(inPlace(folder, name), 0o755);
}

/** What a release has of the files that the page downloads. `sts` is the real one, told where the stand-ins are. */
function prepareRelease() {
  const built = (name) => readFileSync(`${ROOT}build/${name}`);
  const files = workerFiles({ folder: ROOT, index: built('index.js'), wasm: built('index_bg.wasm'), wrangler: WRANGLER });
  const name = 'octo-sts-worker-0.1.0';
  writeFileSync(inPlace('assets', `${name}.tar.gz`), archive(Object.fromEntries(Object.entries(files).map(([path, content]) => [`${name}/${path}`, content])), 1_700_000_000));
  writeFileSync(inPlace('assets', `${name}.cdx.json`), '{}');
  writeFileSync(inPlace('assets', 'sts-0.1.0-x86_64-unknown-linux-musl.cdx.json'), '{}');
  const told = `case "$1 $2" in
  'app create') exec '${sts()}' "$@" --github '${github.url.replace('localhost', '127.0.0.1')}' --no-browser ;;
  'doctor https://${DOMAIN}') shift 2; exec '${sts()}' doctor '${relay.url}' "$@" ;;
  *) exec '${sts()}' "$@" ;;
esac`;
  script('sts-0.1.0-x86_64-unknown-linux-musl', told, 'assets');
  chmodSync(inPlace('assets/sts-0.1.0-x86_64-unknown-linux-musl'), 0o644);
}

/** `acme/app`, and a clone of it. */
function prepareRepository() {
  const git = (...args) => execFileSync('git', args, { cwd: place, env: environment(), stdio: 'pipe' });
  git('init', '-q', '--bare', '--initial-branch=main', 'app.git');
  git('clone', '-q', 'app.git', 'app');
}

function environment() {
  const { CI, ...cloudflares } = cloudflare.environment;
  return {
    PATH: `${inPlace('home/.local/bin')}:${inPlace('bin')}:${process.env.PATH}`,
    HOME: inPlace('home'),
    GIT_CONFIG_NOSYSTEM: '1',
    ...Object.fromEntries(['AUTHOR', 'COMMITTER'].flatMap((who) => [[`GIT_${who}_NAME`, 'mona'], [`GIT_${who}_EMAIL`, 'mona@acme.test']])),
    NO_COLOR: '1',
    ...cloudflares,
  };
}

/** GitHub's page for a manifest, and what it gives for a code. */
function gitHubsPages({ method, path }) {
  if (`${method} ${path}` !== 'POST /api/v3/app-manifests/a1b2c3/conversions') return { status: 404, json: {} };
  return { status: 201, json: { id: APP_ID, html_url: 'https://github.com/apps/octo-sts-acme', pem: world.github.privateKey, webhook_secret: world.webhookSecret } };
}

/** The way to the Worker, with the job's token service beside it. */
async function throughToTheWorker({ method, path, headers, body }) {
  const url = new URL(path, 'http://runner');
  if (url.pathname === '/idtoken') return { json: { value: await world.jobToken({ aud: url.searchParams.get('audience'), event_name: 'push' }) } };
  const { host, connection, 'content-length': length, 'transfer-encoding': encoding, ...rest } = headers;
  const answer = await world.worker.request(path, { method, headers: rest, body: body || undefined });
  return { status: answer.status, headers: Object.fromEntries(answer.headers), text: await answer.text() };
}

/** Runs a block in a folder as it stands there; resolves to what it prints. */
async function run(text, folder) {
  const child = spawn('bash', ['-euo', 'pipefail', '-c', text], { cwd: inPlace(folder), env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  let pressed;
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part) => {
      said += part;
      const address = /press its button: (\S+)\n/.exec(said)?.[1];
      if (address) pressed ??= pressTheButton(address);
    });
  }
  const [code] = await once(child, 'close');
  await pressed;
  assert.equal(code, 0, `${text}\n${said}`);
  return said;
}

/** The page of `sts app create`, and GitHub's, without a browser. */
async function pressTheButton(address) {
  const source = await (await fetch(address)).text();
  const [, state] = /settings\/apps\/new\?state=([^"]+)"/.exec(source);
  assert.match(source, /<button/);
  assert.equal((await fetch(`${address}created?code=a1b2c3&state=${state}`)).status, 200);
}

/** The files of the last push, as GitHub has them, and the workflow's step, as a runner runs it. */
async function runTheWorkflow(workflow) {
  const show = (path) => execFileSync('git', ['--git-dir', inPlace('app.git'), 'show', `main:${path}`], { encoding: 'utf8' });
  const policy = '.github/chainguard/deploy.sts.yaml';
  await world.github.commit('acme/app', policy, show(policy));
  const { on, permissions, jobs } = parse(show(workflow));
  assert.deepEqual([on, permissions], [{ push: { branches: ['main'] } }, { 'id-token': 'write' }]);
  const [use, list] = jobs.issues.steps;
  assert.match(use.uses, /^acme\/octo-sts-worker@/);
  assert.equal(list.env.GH_TOKEN, `\${{ steps.${use.id}.outputs.token }}`);
  assert.equal(use.with.domain, DOMAIN);
  const step = new Step({ tokens: relay.url, inputs: { ...use.with, domain: relay.host, audience: DOMAIN } });
  const main = await step.main();
  return { step, main };
}

/** Each line that the page shows was printed, in this order; what differs from run to run is made equal. */
function assertPrinted(expected, said) {
  const plain = (text) => text.replace(/\b[0-9a-f]{32}\b/g, 'ID').replace(/127\.0\.0\.1:\d+/g, 'LOOPBACK').replaceAll(relay.url, `https://${DOMAIN}`).replace(/App \d+/, 'App N').replace(/\b\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME').split('\n');
  const lines = plain(said);
  let from = 0;
  for (const line of plain(expected.trimEnd())) {
    const at = lines.indexOf(line, from);
    assert.notEqual(at, -1, `the page says that this is printed next: ${line}\nprinted was:\n${said}`);
    from = at + 1;
  }
}

test('the way is short, and what only the real GitHub and Cloudflare can do is listed', () => {
  const commands = blocks.filter(({ language }) => language === 'sh').flatMap(({ text }) => commandsOf(text));
  assert.ok(commands.length <= MOST_COMMANDS, `${commands.length} commands:\n${commands.join('\n')}`);
  const played = commands.filter((command) => /\bgh /.test(command));
  assert.equal(played.length, PLAYED.length);
  const listed = readFileSync(`${ROOT}docs/tutorial.md`, 'utf8').split('## What of this is tested')[1];
  for (const name of PLAYED) {
    assert.ok(played.some((command) => command.includes(name)), name);
    assert.ok(listed.includes(`| \`${name}\` |`), name);
  }
});

test('from an empty folder to a token, as the page says', async () => {
  const workflow = '.github/workflows/issues.yaml';
  const token = page.indexOf('## The token');
  let said = '';
  let job;
  for (const { language, text, place: at } of blocks) {
    const folder = at < token ? 'release' : 'app';
    if (language === 'text') {
      assertPrinted(text, said);
      continue;
    }
    if (language === 'yaml') {
      assert.ok(page.slice(0, at).trimEnd().endsWith(`\`${workflow}\`:\n\n\`\`\`yaml`), 'the page names the file');
      mkdirSync(dirname(inPlace(folder, workflow)), { recursive: true });
      writeFileSync(inPlace(folder, workflow), text);
      continue;
    }
    assert.equal(language, 'sh');
    if (text.includes('wrangler@')) assert.ok(text.includes(`wrangler@${WRANGLER} `), `wrangler is pinned to ${WRANGLER}`);
    said = await run(text, folder);
    if (text.includes('kv namespace create')) fillIn(/id = "([0-9a-f]{32})"/.exec(said)[1]);
    if (text.includes('app create')) await world.worker.newIsolate(storedSecrets());
    if (text.includes('git push')) {
      job = await runTheWorkflow(workflow);
      assert.equal(job.main.code, 0, job.main.log);
      assert.ok(world.github.isAlive(job.main.outputs.token));
      assert.equal(job.main.outputs.permissions, '{"issues":"read"}');
      said += job.main.log + (await job.step.post()).log;
      assert.ok(!world.github.isAlive(job.main.outputs.token));
    }
  }
  assert.ok(job, 'there was a token');
  assert.deepEqual(cloudflare.unknown, []);

  // The last paragraph.
  const policy = inPlace('app/.github/chainguard/deploy.sts.yaml');
  writeFileSync(policy, readFileSync(policy, 'utf8').replaceAll('main', 'release'));
  await run('git commit -qam "Another branch" && git push -q', 'app');
  await world.worker.newIsolate();
  for (const key of (await world.worker.store()).keys()) await (await world.worker.kv()).delete(key);
  const { main } = await runTheWorkflow(workflow);
  assert.equal(main.code, 1);
  assert.match(main.summary, /No token[^]*does not (match|satisfy)[^]*sts explain \.github\/chainguard\/deploy\.sts\.yaml/);
});

/** Step 2's last sentence. */
function fillIn(id) {
  const path = inPlace('release/wrangler.toml');
  const filled = readFileSync(path, 'utf8').replace('id = "00000000000000000000000000000000"', `id = "${id}"`).replace('# routes = [{', 'routes = [{');
  assert.ok(filled.includes(`DOMAIN = "${DOMAIN}"`) && filled.includes(id) && /^routes = /m.test(filled));
  writeFileSync(path, filled);
}

/** What Cloudflare was given for the Worker by `sts app create`. */
function storedSecrets() {
  const { secrets } = cloudflare.workers.get('octo-sts');
  assert.deepEqual([...secrets.keys()].sort(), ['GITHUB_APP_ID', 'GITHUB_APP_PRIVATE_KEY', 'GITHUB_WEBHOOK_SECRET']);
  return Object.fromEntries(secrets);
}
