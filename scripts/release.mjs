// `make release`: writes all files of a release into dist/. It builds the Worker twice from the commit, in two folders with
// different names, and fails if the bytes differ or contain a path of this machine.
//
// TARGET=triple builds the command for another target; PARTS="worker command wheel" builds only these parts. What one machine cannot
// make (the command for other systems, the attestation of the provenance) is made by .github/workflows/release.yml.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { archive } from './release/archive.mjs';
import { maturin } from './release/maturin.mjs';
import { machinePaths } from './release/paths.mjs';
import { sbom } from './release/sbom.mjs';
import { workerFiles } from './release/worker.mjs';

const root = realpathSync(fileURLToPath(new URL('..', import.meta.url)));
const dist = join(root, 'dist');
const ALL = ['worker', 'command', 'wheel'];
const parts = new Set((process.env.PARTS || ALL.join(' ')).split(' '));
const PACKAGE = 'crates/python';

const say = (text) => console.log(`[release] ${text}`);
const run = (command, args, options = {}) => execFileSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], ...options });
const out = (command, args, options = {}) => execFileSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 256 * 1024 * 1024, ...options }).trim();
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

for (const part of parts) if (!ALL.includes(part)) fail(`\`${part}\` is no part of a release; PARTS has one or more of: ${ALL.join(' ')}`);
if (out('git', ['status', '--porcelain']) !== '') fail('the tree has changes that no commit has; a release is made from a commit');

const commit = out('git', ['rev-parse', 'HEAD']);
const seconds = Number(out('git', ['show', '-s', '--format=%ct', 'HEAD']));
const date = new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
const version = /^version = "(.+)"$/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8').split('[package]')[1])[1];
const repository = /^repository = "(.+)"$/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8'))[1];
const npm = (name) => JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).devDependencies[name];
const bindgen = /wasm-bindgen-cli-support = "=(.+)"/.exec(readFileSync(join(root, 'tools/bindgen/Cargo.toml'), 'utf8'))[1];
const rustc = out('rustc', ['-vV']);
const host = /^host: (.+)$/m.exec(rustc)[1];
const rust = { name: 'rustc', version: /^release: (.+)$/m.exec(rustc)[1] };

const target = process.env.TARGET || host;

// What can be missing is looked for before anything takes minutes.
const tools = prepare();
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
if (parts.has('worker')) worker();
if (parts.has('command')) command();
if (parts.has('wheel')) wheel();
checksums();

function prepare() {
  if (parts.has('command') && !existsSync(join(out('rustc', ['--print', 'sysroot']), 'lib/rustlib', target, 'lib'))) {
    fail(`Rust's standard library for ${target} is missing: \`rustup target add ${target}\``);
  }
  try {
    return { maturin: parts.has('wheel') ? maturin({ root, folder: PACKAGE }) : undefined };
  } catch (error) {
    return fail(`${error.message}; or leave the wheel out with PARTS="worker command"`);
  }
}

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
    const made = [rust, { name: 'wasm-bindgen', version: bindgen }, { name: 'binaryen', version: npm('binaryen') }, { name: 'esbuild', version: npm('esbuild') }];
    bill(name, { root: 'octo-sts-worker', target: 'wasm32-unknown-unknown', type: 'application', sha256: sha256(first['index_bg.wasm']), tools: made });
  } finally {
    for (const place of places) rmSync(place, { recursive: true, force: true });
  }
}

/** Builds the commit in an empty folder with the tools of this folder: `{name: Buffer}`. */
function buildWorker(place) {
  say(`building the Worker in ${place}`);
  const tar = execFileSync('git', ['archive', '--format=tar', commit], { cwd: root, maxBuffer: 1024 * 1024 * 1024 });
  execFileSync('tar', ['-x', '-C', place], { input: tar });
  for (const tools of ['.tools', 'node_modules']) symlinkSync(realpathSync(join(root, tools)), join(place, tools));
  const { CARGO_TARGET_DIR, RUSTFLAGS, CARGO_ENCODED_RUSTFLAGS, ...env } = process.env;
  run('bash', ['scripts/build.sh'], { cwd: place, env });
  return Object.fromEntries(['index.js', 'index_bg.wasm'].map((name) => [name, readFileSync(join(place, 'build', name))]));
}

function command() {
  say(`building the command for ${target}`);
  const flags = remapped();
  // A musl target is linked statically by default; the Windows one needs a flag.
  if (/msvc/.test(target)) flags.push('-Ctarget-feature=+crt-static');
  run('cargo', ['build', '--release', '--locked', '--package', 'octo-sts-cli', '--target', target, '--target-dir', 'target/release-command'], { env: flagged(flags) });
  const ending = /windows/.test(target) ? '.exe' : '';
  const binary = readFileSync(join(root, `target/release-command/${target}/release/sts${ending}`));
  refusePaths('sts', binary, []);
  const name = `sts-${version}-${target}`;
  write(`${name}${ending}`, binary, 0o755);
  bill(name, { root: 'octo-sts-cli', target, type: 'application', sha256: sha256(binary), tools: [rust] });
}

/** The Python package, as a wheel for this machine's system and as its source. */
function wheel() {
  say('building the wheel and its source');
  const manifest = join(root, PACKAGE, 'Cargo.toml');
  const env = { ...flagged(remapped()), SOURCE_DATE_EPOCH: String(seconds), CARGO_TARGET_DIR: join(root, 'target/release-wheel') };
  run(tools.maturin.program, ['build', '--release', '--locked', '--sdist', '--manifest-path', manifest, '--interpreter', tools.maturin.python, '--out', dist], { env });
  const made = [rust, { name: 'maturin', version: tools.maturin.version }];
  for (const file of readdirSync(dist).filter((name) => /^octo_sts-.*\.(whl|tar\.gz)$/.test(name))) {
    const bytes = readFileSync(join(dist, file));
    if (file.endsWith('.whl')) for (const [name, content] of unpacked(join(dist, file))) refusePaths(`${file}: ${name}`, content, []);
    bill(file.replace(/\.(whl|tar\.gz)$/, (ending) => (ending === '.whl' ? '' : '-source')), { root: 'octo-sts-python', folder: PACKAGE, target: host, type: 'library', sha256: sha256(bytes), tools: made });
  }
}

/** `[name, Buffer]` of what is in a wheel. */
function unpacked(file) {
  const place = mkdtempSync(join(tmpdir(), 'wheel-'));
  try {
    run(tools.maturin.python, ['-m', 'zipfile', '-e', file, place]);
    const files = readdirSync(place, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    return files.map((entry) => [entry.name, readFileSync(join(entry.parentPath ?? entry.path, entry.name))]);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** Flags for rustc with which no folder of this machine gets into what it builds. */
function remapped() {
  const remap = [[root, '/octo-sts-worker'], ...cargoFolders().map((folder) => [folder, '/cargo'])];
  return remap.map(([from, to]) => `--remap-path-prefix=${from}=${to}`);
}

function flagged(flags) {
  const { RUSTFLAGS, CARGO_ENCODED_RUSTFLAGS, ...env } = process.env;
  return { ...env, CARGO_ENCODED_RUSTFLAGS: flags.join('\x1f') };
}

/** A bill of materials. `folder` is where the package's own workspace is. */
function bill(name, { root: package_, folder = '', target: platform, type, sha256: hash, tools: made }) {
  const place = join(root, folder);
  const metadata = JSON.parse(out('cargo', ['metadata', '--locked', '--format-version', '1', '--filter-platform', platform], { cwd: place }));
  const lock = readFileSync(join(place, 'Cargo.lock'), 'utf8');
  write(`${name}.cdx.json`, Buffer.from(sbom({ metadata, lock, root: package_, artifact: { name: package_, version, type, sha256: hash }, source: { folder: root, repository, commit }, tools: made, date })));
}

function checksums() {
  const names = readdirSync(dist).sort();
  const lines = names.map((name) => `${sha256(readFileSync(join(dist, name)))}  ${name}\n`);
  writeFileSync(join(dist, 'SHA256SUMS'), lines.join(''));
  process.stdout.write(lines.join(''));
  say(`commit ${commit}`);
  if (parts.has('command')) say(`the command is for ${target}; .github/workflows/release.yml makes those for other systems on a tag`);
  say('nothing here is attested: the same workflow attests the provenance of every file');
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
