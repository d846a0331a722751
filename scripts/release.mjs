// `make release`: writes all files of a release into dist/. It builds the Worker twice from the commit, in two folders with
// different names, and fails if the bytes differ or contain a path of this machine.
//
// TARGET=triple builds the command for another target; PARTS="worker command wheel" builds only these parts.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { archive } from './release/archive.mjs';
import { machinePaths } from './release/paths.mjs';
import { sbom } from './release/sbom.mjs';
import { workerFiles } from './release/worker.mjs';

const root = realpathSync(fileURLToPath(new URL('..', import.meta.url)));
const dist = join(root, 'dist');
const parts = new Set((process.env.PARTS || 'worker command wheel').split(' '));

const say = (text) => console.log(`[release] ${text}`);
const run = (command, args, options = {}) => execFileSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], ...options });
const out = (command, args, options = {}) => execFileSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 256 * 1024 * 1024, ...options }).trim();
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

if (out('git', ['status', '--porcelain']) !== '') fail('the tree has changes that no commit has; a release is made from a commit');

const commit = out('git', ['rev-parse', 'HEAD']);
const seconds = Number(out('git', ['show', '-s', '--format=%ct', 'HEAD']));
const date = new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
const lock = readFileSync(join(root, 'Cargo.lock'), 'utf8');
const version = /^version = "(.+)"$/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8').split('[package]')[1])[1];
const npm = (name) => JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).devDependencies[name];
const bindgen = /wasm-bindgen-cli-support = "=(.+)"/.exec(readFileSync(join(root, 'tools/bindgen/Cargo.toml'), 'utf8'))[1];
const rustc = out('rustc', ['-vV']);
const host = /^host: (.+)$/m.exec(rustc)[1];
const rust = { name: 'rustc', version: /^release: (.+)$/m.exec(rustc)[1] };

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
if (parts.has('worker')) worker();
if (parts.has('command')) command(process.env.TARGET || host);
if (parts.has('wheel')) wheel();
checksums();

function worker() {
  const places = [mkdtempSync(join(tmpdir(), 'a-')), mkdtempSync(join(tmpdir(), 'another folder of another name-'))];
  try {
    const [first, second] = places.map(buildWorker);
    for (const name of ['index.js', 'index_bg.wasm']) {
      if (!first[name].equals(second[name])) fail(`two builds of ${commit} give different ${name}: ${sha256(first[name])} and ${sha256(second[name])}`);
      refusePaths(name, first[name], places);
    }
    const wrangler = npm('wrangler');
    const files = workerFiles({ folder: root, index: first['index.js'], wasm: first['index_bg.wasm'], wrangler });
    const name = `octo-sts-worker-${version}`;
    write(`${name}.tar.gz`, archive(Object.fromEntries(Object.entries(files).map(([path, content]) => [`${name}/${path}`, content])), seconds));
    const tools = [rust, { name: 'wasm-bindgen', version: bindgen }, { name: 'binaryen', version: npm('binaryen') }, { name: 'esbuild', version: npm('esbuild') }];
    bill(name, { root: 'octo-sts-worker', target: 'wasm32-unknown-unknown', type: 'application', sha256: sha256(first['index_bg.wasm']), tools });
  } finally {
    for (const place of places) rmSync(place, { recursive: true, force: true });
  }
}

/** Builds the commit in an empty folder with the tools of this folder: `{name: Buffer}`. */
function buildWorker(place) {
  say(`building the Worker in ${place}`);
  const tar = execFileSync('git', ['archive', '--format=tar', 'HEAD'], { cwd: root, maxBuffer: 1024 * 1024 * 1024 });
  execFileSync('tar', ['-x', '-C', place], { input: tar });
  for (const tools of ['.tools', 'node_modules']) symlinkSync(realpathSync(join(root, tools)), join(place, tools));
  const { CARGO_TARGET_DIR, RUSTFLAGS, CARGO_ENCODED_RUSTFLAGS, ...env } = process.env;
  run('bash', ['scripts/build.sh'], { cwd: place, env });
  return Object.fromEntries(['index.js', 'index_bg.wasm'].map((name) => [name, readFileSync(join(place, 'build', name))]));
}

function command(target) {
  say(`building the command for ${target}`);
  const remap = [[root, '/octo-sts-worker'], ...cargoFolders().map((folder) => [folder, '/cargo'])];
  const flags = [process.env.CARGO_ENCODED_RUSTFLAGS ?? [], remap.map(([from, to]) => `--remap-path-prefix=${from}=${to}`)].flat();
  // A musl target is linked statically by default; the Windows one needs a flag.
  if (/msvc/.test(target)) flags.push('-Ctarget-feature=+crt-static');
  const { RUSTFLAGS, ...env } = process.env;
  run('cargo', ['build', '--release', '--locked', '--package', 'octo-sts-cli', '--target', target, '--target-dir', 'target/release-command'], { env: { ...env, CARGO_ENCODED_RUSTFLAGS: flags.join('\x1f') } });
  const ending = /windows/.test(target) ? '.exe' : '';
  const binary = readFileSync(join(root, `target/release-command/${target}/release/sts${ending}`));
  refusePaths('sts', binary, []);
  const name = `sts-${version}-${target}`;
  write(`${name}${ending}`, binary, 0o755);
  bill(name, { root: 'octo-sts-cli', target, type: 'application', sha256: sha256(binary), tools: [rust] });
}

/** The Python package, if the tree has one. */
function wheel() {
  const folder = readdirSync(join(root, 'crates')).find((name) => existsSync(join(root, 'crates', name, 'pyproject.toml')));
  if (folder === undefined) {
    say('there is no Python package in this tree');
    return;
  }
  const manifest = join(root, 'crates', folder, 'Cargo.toml');
  try {
    out('maturin', ['--version']);
  } catch {
    fail('`maturin` is missing, which builds the wheel: `pip install maturin`, or leave it out with PARTS="worker command"');
  }
  say('building the wheel and its source');
  run('maturin', ['build', '--release', '--locked', '--sdist', '--manifest-path', manifest, '--out', dist], { env: { ...process.env, SOURCE_DATE_EPOCH: String(seconds) } });
  const package_ = /^name = "(.+)"$/m.exec(readFileSync(manifest, 'utf8'))[1];
  for (const file of readdirSync(dist).filter((name) => name.endsWith('.whl'))) {
    bill(basename(file, '.whl'), { root: package_, target: host, type: 'library', sha256: sha256(readFileSync(join(dist, file))), tools: [rust] });
  }
}

function bill(name, { root: package_, target, type, sha256: hash, tools }) {
  const metadata = JSON.parse(out('cargo', ['metadata', '--locked', '--format-version', '1', '--filter-platform', target]));
  write(`${name}.cdx.json`, Buffer.from(sbom({ metadata, lock, root: package_, artifact: { name: package_, version, type, sha256: hash }, tools, date })));
}

function checksums() {
  const names = readdirSync(dist).sort();
  const lines = names.map((name) => `${sha256(readFileSync(join(dist, name)))}  ${name}\n`);
  writeFileSync(join(dist, 'SHA256SUMS'), lines.join(''));
  process.stdout.write(lines.join(''));
  say(`commit ${commit}`);
}

function write(name, content, mode = 0o644) {
  writeFileSync(join(dist, name), content, { mode });
}

function cargoFolders() {
  const home = process.env.CARGO_HOME ?? join(homedir(), '.cargo');
  const registries = join(home, 'registry/src');
  return [home, ...(existsSync(registries) ? readdirSync(registries).map((name) => join(registries, name)) : [])];
}

function refusePaths(name, bytes, places) {
  const found = machinePaths(bytes, [root, homedir(), process.env.CARGO_HOME, out('rustc', ['--print', 'sysroot']), ...places]);
  if (found.length > 0) fail(`${name} has ${found.length} paths of this machine, \`${found[0]}\` for one`);
}

function fail(message) {
  console.error(`[release] ${message}`);
  process.exit(1);
}
