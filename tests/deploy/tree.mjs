// A tree to deploy from, Cloudflare's API, and the answers of the Worker that would run.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { StandIn } from '../action/runner.mjs';
import { Cloudflare } from './cloudflare.mjs';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const SECRETS = { GITHUB_APP_ID: '1', GITHUB_APP_PRIVATE_KEY: 'pem' };

/** A completed `wrangler.toml`, with a Worker that needs no build. */
export const FILLED = readFileSync(`${ROOT}wrangler.toml`, 'utf8')
  .replace('id = "00000000000000000000000000000000"', 'id = "0123456789abcdef0123456789abcdef"')
  .replace('# routes = [{ pattern = "sts.example.com"', 'routes = [{ pattern = "sts.acme.test"')
  .replace('DOMAIN = "sts.example.com"', 'DOMAIN = "sts.acme.test"')
  .replace('command = "make build"', 'command = "true"');

/** A healthy Worker, seen from outside. */
const WELL = {
  '/healthz': { json: { status: 'ok' } },
  '/readyz': { json: { status: 'ready', missing: [], malformed: [] } },
  '/sts/exchange': { status: 401, json: { error: 'invalid_token' } },
};

export class Place {
  /** What the service answers, by path. A function is asked each time. */
  answers = { ...WELL };
  folder = mkdtempSync(join(tmpdir(), 'octo-sts-deploy-'));

  static async start() {
    const place = new Place();
    place.cloudflare = await Cloudflare.start();
    place.service = await StandIn.start(({ path }) => {
      const answer = place.answers[path.split('?')[0]] ?? { status: 404, json: {} };
      return typeof answer === 'function' ? answer() : answer;
    });
    mkdirSync(join(place.folder, 'build'));
    writeFileSync(join(place.folder, 'build/index.js'), 'export class UsedToken {}\nexport class ProxyBudget {}\nexport default { fetch: () => new Response() };\n');
    writeFileSync(join(place.folder, '.gitignore'), '.wrangler\n');
    return place;
  }

  get environment() {
    return { PATH: process.env.PATH, HOME: this.folder, ...this.cloudflare.environment };
  }

  async stop() {
    await Promise.all([this.cloudflare.stop(), this.service.stop()]);
    rmSync(this.folder, { recursive: true, force: true });
  }

  #git(...args) {
    execFileSync('git', ['-c', 'user.name=mona', '-c', 'user.email=mona@acme.test', ...args], { cwd: this.folder, stdio: 'pipe' });
  }

  /** Commits these settings. */
  commit(settings = FILLED) {
    writeFileSync(join(this.folder, 'wrangler.toml'), settings);
    this.#git('init', '-q', '.');
    this.#git('add', '-A');
    this.#git('commit', '-qm', 'settings');
  }

  /** Runs the script of `make deploy`; resolves to `{code, log}`. */
  async deploy(env = {}) {
    const child = spawn(process.execPath, [`${ROOT}scripts/deploy.mjs`], {
      cwd: this.folder,
      env: { ...this.environment, STS_SMOKE_URL: this.service.url, STS_SMOKE_SECONDS: '1', ...env },
    });
    let log = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (log += text));
    const [code] = await once(child, 'close');
    assert.deepEqual(this.cloudflare.unknown, [], log);
    return { code, log };
  }
}
