// The Worker under `wrangler dev`, as the wrangler.toml of a folder describes it, without an account and without the internet.

import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const START_LIMIT_MS = 60_000;

export class WranglerDev {
  /** Every line of output. */
  lines = [];

  #folder;
  #state;
  #process;

  /**
   * Starts with `vars` as the Worker's settings and secrets; resolves when it answers. What it keeps is in `state`, which
   * is outside a `folder` that has no build: there wrangler starts again on every change.
   */
  static async start(vars, { folder = ROOT, state = join(ROOT, '.demo') } = {}) {
    const wrangler = new WranglerDev();
    wrangler.#folder = folder;
    wrangler.#state = state;
    rmSync(wrangler.#state, { recursive: true, force: true });
    mkdirSync(wrangler.#state);
    await wrangler.#run(vars, '0');
    return wrangler;
  }

  /** The same Worker with other settings, at the same address if that is still free. KV and Durable Objects stay. */
  async redeploy(vars) {
    await this.close();
    await this.#run(vars, new URL(this.url).port);
  }

  async #run(vars, port) {
    const file = join(this.#state, 'vars.env');
    const text = Object.entries(vars).map(([name, value]) => `${name}=${quoted(value)}\n`).join('');
    writeFileSync(file, text, { mode: 0o600 });

    const child = spawn(
      process.execPath,
      [
        `${ROOT}node_modules/wrangler/bin/wrangler.js`,
        'dev',
        ...['--ip', '127.0.0.1', '--port', port, '--inspector-port', '0'],
        ...['--env-file', file, '--persist-to', join(this.#state, 'state')],
        '--show-interactive-dev-session=false',
      ],
      {
        cwd: this.#folder,
        // Its own process group, so that `close` also reaches the runtime.
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, WRANGLER_SEND_METRICS: 'false', CLOUDFLARE_CF_FETCH_ENABLED: 'false', NO_COLOR: '1', FORCE_COLOR: '0' },
      },
    );
    this.#process = child;
    const began = this.lines.length;
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => this.lines.push(line));
    }
    try {
      await this.#untilReady(began);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** The first line of the Worker's log, parsed, that satisfies the condition; waits for it a little. */
  async logged(condition) {
    for (let waited = 0; waited < 3000; waited += 50) {
      for (const line of this.lines) {
        const entry = parsed(line);
        if (entry && condition(entry)) return entry;
      }
      await sleep(50);
    }
    return undefined;
  }

  async close() {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#signal('SIGTERM');
    const inTime = await Promise.race([ended.then(() => true), sleep(3000, false)]);
    if (inTime) return;
    this.#signal('SIGKILL');
    await ended;
  }

  /** Waits until the process says so, in a line after the first `began`, and answers. */
  async #untilReady(began) {
    for (const limit = Date.now() + START_LIMIT_MS; Date.now() < limit; await sleep(100)) {
      this.url = this.lines.slice(began).map((line) => /Ready on (http:\/\/\S+)/.exec(line)?.[1]).find(Boolean);
      if (this.url && (await isAlive(this.url))) return;
      if (this.#process.exitCode !== null) break;
    }
    throw new Error(`wrangler dev did not start:\n${this.lines.join('\n')}`);
  }

  #signal(name) {
    try {
      process.kill(-this.#process.pid, name);
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  }
}

/** Reads like dotenv: escapes in double quotes, none in single quotes. */
const quoted = (value) => (value.includes('"') ? `'${value}'` : `"${value.replaceAll('\n', '\\n')}"`);

async function isAlive(url) {
  try {
    return (await fetch(`${url}/healthz`)).ok;
  } catch {
    return false;
  }
}

/** The Worker's lines are JSON; wrangler colors warnings and errors and puts a mark before them. */
function parsed(line) {
  const json = /\{.*\}/.exec(stripVTControlCharacters(line))?.[0];
  try {
    return json && JSON.parse(json);
  } catch {
    return undefined;
  }
}
