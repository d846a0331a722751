// The processes of a bench: the mock, the load generator, and workerd with one Worker, whose CPU time is read from
// outside. All of them end with the bench.

import { fork, spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** The binary that miniflare, pinned in package.json, runs. */
const { default: WORKERD } = createRequire(createRequire(import.meta.url).resolve('miniflare'))('workerd');
const TICKS = Number(execFileSync('getconf', ['CLK_TCK']));

const wrangler = readFileSync(`${ROOT}wrangler.toml`, 'utf8');
const COMPATIBILITY_DATE = /^compatibility_date = "(.+)"$/m.exec(wrangler)[1];
const COMPATIBILITY_FLAGS = /^compatibility_flags = (\[.+\])$/m.exec(wrangler)[1];

/** A forked module that answers each message with one of the same id. */
class Companion {
  #process;
  #ids = 0;

  constructor(module, env = {}) {
    this.#process = fork(fileURLToPath(new URL(module, import.meta.url)), {
      env: { ...process.env, ...env },
      serialization: 'advanced',
    });
  }

  get first() {
    return once(this.#process, 'message').then(([message]) => message);
  }

  async ask(message) {
    const id = ++this.#ids;
    this.#process.send({ ...message, id });
    for (;;) {
      const [answer] = await once(this.#process, 'message');
      if (answer.id !== id) continue;
      if (answer.error) throw new Error(answer.error);
      return answer;
    }
  }

  stop() {
    this.#process.disconnect();
  }
}

/** `{internetPort, kvPort, requests(), forget(), stop()}` */
export async function startMock(fixtures) {
  const companion = new Companion('mock.mjs', { FIXTURES: JSON.stringify(fixtures) });
  const ports = await companion.first;
  return {
    ...ports,
    requests: async () => (await companion.ask({})).requests,
    forget: () => companion.ask({ empty: true }),
    stop: () => companion.stop(),
  };
}

export function startLoad() {
  const companion = new Companion('load.mjs');
  return { run: (work) => companion.ask(work), stop: () => companion.stop() };
}

/** Where a Worker is; `undefined` is one in JavaScript with a constant answer, to measure the runtime alone. */
function modulesOf(folder, into) {
  if (folder === undefined) {
    writeFileSync(`${into}/index.js`, 'export default { fetch() { return new Response("{}"); } };');
    return '(name = "index.js", esModule = embed "index.js")';
  }
  for (const file of ['index.js', 'index_bg.wasm']) copyFileSync(`${ROOT}${folder}/${file}`, `${into}/${file}`);
  return `(name = "index.js", esModule = embed "index.js"), (name = "index_bg.wasm", wasm = embed "index_bg.wasm")`;
}

let started = 0;

/** workerd with the Worker of a folder: one process, one isolate. */
export class Workerd {
  static binary = WORKERD;

  #process;

  static async start({ folder, mock, settings }) {
    const workerd = new Workerd();
    const into = `${ROOT}target/bench/workerd-${process.pid}-${++started}`;
    mkdirSync(into, { recursive: true });
    const bindings = Object.entries(settings).map(([name, text]) => `(name = "${name}", text = ${JSON.stringify(text)})`);
    writeFileSync(
      `${into}/config.capnp`,
      `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  v8Flags = ${JSON.stringify((process.env.BENCH_V8_FLAGS ?? '').split(' ').filter(Boolean))},
  services = [
    (name = "main", worker = .main),
    (name = "internet", external = (address = "127.0.0.1:${mock.internetPort}", http = (style = host))),
    (name = "kv", external = (address = "127.0.0.1:${mock.kvPort}", http = ())),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (style = host), service = "main")],
);
const main :Workerd.Worker = (
  modules = [${modulesOf(folder, into)}],
  compatibilityDate = "${COMPATIBILITY_DATE}",
  compatibilityFlags = ${COMPATIBILITY_FLAGS},
  bindings = [(name = "OCTO_STS_KV", kvNamespace = "kv"), ${bindings.join(', ')}],
  globalOutbound = "internet",
);
`,
    );
    const began = process.hrtime.bigint();
    workerd.#process = spawn(WORKERD, ['serve', `${into}/config.capnp`, '--control-fd=3'], {
      // V8's profiling flags leave files where the process runs.
      cwd: `${ROOT}target/bench`,
      // The log of an exchange is a line on standard output; nobody reads it here.
      stdio: ['ignore', 'ignore', process.env.BENCH_VERBOSE ? 'inherit' : 'ignore', 'pipe'],
    });
    const ended = once(workerd.#process, 'exit').then(([code]) => Promise.reject(new Error(`workerd ended: ${code}`)));
    ended.catch(() => {});
    const [line] = await Promise.race([once(workerd.#process.stdio[3], 'data'), ended]);
    workerd.port = JSON.parse(String(line).split('\n')[0]).port;
    workerd.began = began;
    rmSync(into, { recursive: true });
    return workerd;
  }

  get pid() {
    return this.#process.pid;
  }

  /** CPU of the process so far, user and system, in ms. */
  cpu() {
    const fields = readFileSync(`/proc/${this.#process.pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS;
  }

  /** The same of its living threads, to the microsecond: for what takes a few ticks. */
  cpuOfThreads() {
    const folder = `/proc/${this.#process.pid}/task`;
    const times = readdirSync(folder).map((thread) => Number(readFileSync(`${folder}/${thread}/schedstat`, 'utf8').split(' ')[0]));
    return times.reduce((sum, time) => sum + time, 0) / 1e6;
  }

  /** Resident memory, in MB. */
  memory() {
    const status = readFileSync(`/proc/${this.#process.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)[1]) / 1024;
  }

  async stop() {
    const exit = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exit;
  }
}
