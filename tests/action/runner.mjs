// Runs the bundle like GitHub's runner: a process for the step and one for the end of the job, files for outputs,
// state and the summary, inputs and state in the environment, and the token service of the job.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** `action.yml`, as far as a runner reads it. */
const manifest = readFileSync(`${ROOT}action.yml`, 'utf8');
const entry = (name) => join(ROOT, new RegExp(`^  ${name}: (.+)$`, 'm').exec(manifest)[1]);

/** A server on loopback: `answer({method, path, headers, body})` gives `{status, headers, json, text}`. */
export class StandIn {
  requests = [];

  static async start(answer) {
    const standIn = new StandIn();
    standIn.answer = answer;
    standIn.server = createServer(async (incoming, outgoing) => {
      const chunks = [];
      for await (const chunk of incoming) chunks.push(chunk);
      const request = { method: incoming.method, path: incoming.url, headers: incoming.headers, body: Buffer.concat(chunks).toString() };
      standIn.requests.push(request);
      const { status = 200, headers = {}, json, text, reset } = await standIn.answer(request);
      if (reset) return incoming.socket.destroy();
      outgoing.writeHead(status, json === undefined ? headers : { 'content-type': 'application/json', ...headers });
      outgoing.end(json === undefined ? text : JSON.stringify(json));
    }).listen(0, '127.0.0.1');
    await once(standIn.server, 'listening');
    return standIn;
  }

  get host() {
    return `localhost:${this.server.address().port}`;
  }

  get url() {
    return `http://${this.host}`;
  }

  async stop() {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }
}

/** One use of the action in a job. */
export class Step {
  constructor({ inputs, tokens, env = {} }) {
    this.folder = mkdtempSync(join(tmpdir(), 'octo-sts-action-'));
    this.inputs = inputs;
    this.home = this.folder;
    this.env = {
      PATH: process.env.PATH,
      HOME: this.folder,
      RUNNER_TEMP: this.folder,
      GIT_CONFIG_NOSYSTEM: '1',
      GITHUB_REPOSITORY: 'acme/app',
      GITHUB_SERVER_URL: 'https://github.com',
      ...(tokens ? { ACTIONS_ID_TOKEN_REQUEST_URL: `${tokens}/idtoken?api-version=2.0`, ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'runtime-token' } : {}),
      ...env,
    };
  }

  /** The step at its place in the job. Resolves to `{code, log, outputs, state, summary}`. */
  async main() {
    this.first = await this.#run('main', {});
    return this.first;
  }

  /** The step at the end of the job. */
  post() {
    const state = Object.entries(this.first.state).map(([name, value]) => [`STATE_${name}`, value]);
    return this.#run('post', Object.fromEntries(state));
  }

  async #run(phase, env) {
    const files = Object.fromEntries(
      ['OUTPUT', 'STATE', 'STEP_SUMMARY'].map((name) => [`GITHUB_${name}`, join(this.folder, `${phase}-${name}`)]),
    );
    for (const file of Object.values(files)) writeFileSync(file, '');
    // Inputs without a value are set and empty, as a runner does for those that `action.yml` lists.
    const listed = [...manifest.split('\noutputs:')[0].matchAll(/^  ([a-z-]+):$/gm)].map(([, name]) => [name, '']);
    const inputs = Object.entries({ ...Object.fromEntries(listed), 'configure-git': 'false', ...this.inputs });
    const child = spawn(process.execPath, [entry(phase)], {
      env: { ...this.env, ...files, ...env, ...Object.fromEntries(inputs.map(([name, value]) => [`INPUT_${name.toUpperCase()}`, value])) },
    });
    let log = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (log += text));
    const [code] = await once(child, 'close');
    const read = (name) => readFileSync(files[`GITHUB_${name}`], 'utf8');
    return { code, log, outputs: parseFile(read('OUTPUT')), state: parseFile(read('STATE')), summary: read('STEP_SUMMARY') };
  }
}

/** The files for outputs and state, as the runner's own parser reads them. */
function parseFile(text) {
  const lines = text.split('\n');
  const values = {};
  while (lines.length > 0) {
    const line = lines.shift();
    if (line === '') continue;
    const [, name, end] = /^([^=]+?)<<(.+)$/.exec(line) ?? [];
    if (name === undefined) {
      const [, simple, value] = /^([^=]+)=(.*)$/.exec(line) ?? [];
      if (simple === undefined) throw new Error(`a runner cannot read the line ${line}`);
      values[simple] = value;
      continue;
    }
    const at = lines.indexOf(end);
    if (at === -1) throw new Error(`no end of ${name}`);
    values[name] = lines.splice(0, at + 1).slice(0, -1).join('\n');
  }
  return values;
}
