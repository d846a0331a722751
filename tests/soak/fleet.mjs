// The built Worker in several isolates of one runtime, which share a KV namespace like the locations of Cloudflare's
// network.

import { readFileSync } from 'node:fs';
import { Agent, request as send } from 'node:http';
import { fileURLToPath } from 'node:url';

import { Log, LogLevel, Miniflare } from 'miniflare';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const compatibilityDate = /^compatibility_date = "(.+)"$/m.exec(readFileSync(`${ROOT}wrangler.toml`, 'utf8'))[1];
const read = (path, encoding) => readFileSync(`${ROOT}${path}`, encoding);

export class Fleet {
  // The runtime closes a connection that is idle for five seconds; no request may run into that.
  #agent = new Agent({ keepAlive: true, maxSockets: Infinity, timeout: 2000 });
  #miniflare;
  #addresses;
  #wasm = [];

  static async start({ isolates, outbound, bindings }) {
    const fleet = new Fleet();
    const names = Array.from({ length: isolates }, (_, index) => `isolate-${index}`);
    fleet.#miniflare = new Miniflare({
      log: new Log(LogLevel.NONE),
      cf: false,
      workers: names.map((name) => ({
        name,
        modules: [
          { type: 'ESModule', path: 'isolate.mjs', contents: read('tests/soak/isolate.mjs', 'utf8') },
          { type: 'ESModule', path: 'memory.mjs', contents: read('tests/soak/memory.mjs', 'utf8') },
          { type: 'ESModule', path: 'index.js', contents: read('build/index.js', 'utf8') },
          { type: 'CompiledWasm', path: 'index_bg.wasm', contents: read('build/index_bg.wasm') },
        ],
        compatibilityDate,
        compatibilityFlags: ['global_fetch_strictly_public', 'nodejs_als'],
        kvNamespaces: { OCTO_STS_KV: 'soak' },
        bindings,
        outboundService: { external: { address: outbound, http: { forwardedProtoHeader: 'x-forwarded-proto' } } },
        unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }],
      })),
    });
    await fleet.#miniflare.ready;
    fleet.#addresses = await Promise.all(names.map((name) => fleet.#miniflare.unsafeGetDirectURL(name)));
    return fleet;
  }

  /** A request to one isolate. Resolves to the result of `isolate.mjs`: the answer, and its side effects. */
  async ask(isolate, { id, now, failingKv }, { method, path, headers, body }) {
    const { hostname, port } = this.#addresses[isolate];
    const text = await new Promise((resolve, reject) => {
      const outgoing = send({
        host: hostname,
        port,
        agent: this.#agent,
        method,
        path,
        headers: { ...headers, 'x-soak-request': id, 'x-soak-now': String(now), ...(failingKv === undefined ? {} : { 'x-soak-failing-kv': String(failingKv) }) },
      });
      outgoing.on('error', reject);
      outgoing.on('response', (incoming) => {
        const chunks = [];
        incoming.on('data', (chunk) => chunks.push(chunk));
        incoming.on('error', reject);
        incoming.on('end', () => resolve(Buffer.concat(chunks).toString()));
      });
      outgoing.end(body);
    });
    let brought;
    try {
      brought = JSON.parse(text);
    } catch {
      throw new Error(`the isolate broke: ${text.slice(0, 500)}`);
    }
    const { status, headers: answered, body: answer, kv, lines, lost, memory } = brought;
    this.#wasm[isolate] = memory;

    return { answer: { status, headers: answered, body: answer ? JSON.parse(answer) : undefined }, kv, lines: lines.map((line) => JSON.parse(line)), lost };
  }

  /**
   * In bytes: the isolates' WebAssembly memory, all of them, and what the runtime holds beside files, where the system says
   * so in Linux's way. The latter has the KV simulator in it, and what the collector has not collected.
   */
  memory() {
    return { wasm: this.#wasm.reduce((sum, bytes) => sum + bytes, 0), runtime: resident() };
  }

  async stop() {
    this.#agent.destroy();
    await this.#miniflare.dispose();
  }
}

function resident() {
  try {
    const children = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8').trim().split(' ');
    const runtimes = children.filter((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('workerd'));
    const kilobytes = runtimes.map((pid) => Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]));
    return kilobytes.reduce((sum, count) => sum + count, 0) * 1024;
  } catch {
    return 0;
  }
}
