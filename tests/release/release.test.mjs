// The parts of `make release` that do not come from a compiler.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import Ajv from 'ajv';
import addFormats from 'ajv-formats';

import { archive } from '../../scripts/release/archive.mjs';
import { WranglerDev } from '../../demo/wrangler-dev.mjs';
import { APP_ID, GitHub } from '../e2e/support/github.mjs';
import { Internet } from '../e2e/support/internet.mjs';
import { actionsClaims, MockIssuer } from '../e2e/support/issuers.mjs';
import { machinePaths } from '../../scripts/release/paths.mjs';
import { sbom } from '../../scripts/release/sbom.mjs';
import { deployable, workerFiles } from '../../scripts/release/worker.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const folder = () => mkdtempSync(join(tmpdir(), 'octo-sts-release-'));

describe('the archive', () => {
  test('is read by tar, and its bytes depend on the files alone', () => {
    const files = { 'a/b.txt': Buffer.from('b'), 'a/c': Buffer.alloc(512, 'c'), 'a/empty': Buffer.alloc(0), 'a/long': Buffer.alloc(1500, 'x') };
    const bytes = archive(files, 1_700_000_000);
    const reversed = Object.fromEntries(Object.entries(files).reverse());
    assert.ok(bytes.equals(archive(reversed, 1_700_000_000)));
    const place = folder();
    execFileSync('tar', ['-xz', '-C', place], { input: bytes });
    for (const [path, content] of Object.entries(files)) assert.ok(readFileSync(join(place, path)).equals(content), path);
    const listing = execFileSync('tar', ['-tvz', '--utc', '--numeric-owner'], { input: bytes, encoding: 'utf8' });
    assert.match(listing, /^-rw-r--r-- 0\/0 +1 2023-11-14 22:13 a\/b\.txt\n/);
  });

  test('has what somebody deploys, and wrangler takes it as it is', () => {
    const index = readFileSync(`${ROOT}build/index.js`);
    const wasm = readFileSync(`${ROOT}build/index_bg.wasm`);
    const files = workerFiles({ folder: ROOT, index, wasm, wrangler: '4.86.0' });
    const names = ['LICENSE', 'README.md', 'index.js', 'index_bg.wasm', ...['organization-trust-policy', 'trust-policy', 'trusted-token-issuers'].map((name) => `schemas/${name}.schema.json`), 'wrangler.toml'];
    assert.deepEqual(Object.keys(files).sort(), names);
    const place = folder();
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(place, path)), { recursive: true });
      writeFileSync(join(place, path), content);
    }
    const env = { PATH: process.env.PATH, HOME: place, WRANGLER_SEND_METRICS: 'false', npm_config_registry: 'http://127.0.0.1:9/', CI: 'true' };
    const out = execFileSync(process.execPath, [`${ROOT}node_modules/wrangler/bin/wrangler.js`, 'deploy', '--dry-run', '--outdir', 'out'], { cwd: place, env, encoding: 'utf8' });
    assert.match(out, /env\.OCTO_STS_KV/);
    assert.doesNotMatch(out, /custom build/);
    assert.ok(readFileSync(join(place, 'out/index.js')).equals(index), 'the bytes that are released are the bytes that run');
    assert.ok(readFileSync(join(place, 'out/index_bg.wasm')).equals(wasm));
  });

  test('serves under `wrangler dev` once the placeholders are filled in, and the secrets set', async (t) => {
    const place = folder();
    const name = 'octo-sts-worker-0.0.0';
    const files = workerFiles({ folder: ROOT, index: readFileSync(`${ROOT}build/index.js`), wasm: readFileSync(`${ROOT}build/index_bg.wasm`), wrangler: '4.86.0' });
    const bytes = archive(Object.fromEntries(Object.entries(files).map(([path, content]) => [`${name}/${path}`, content])), 1_700_000_000);
    execFileSync('tar', ['-xz', '-C', place], { input: bytes });
    const unpacked = join(place, name);
    const settings = join(unpacked, 'wrangler.toml');
    const filled = readFileSync(settings, 'utf8')
      .replace('id = "00000000000000000000000000000000"', 'id = "5f3c2b1a09d84e7fa6b5c4d3e2f10918"')
      .replace('DOMAIN = "sts.example.com"', 'DOMAIN = "sts.acme.example"')
      .replace('# routes = [{ pattern = "sts.example.com"', 'routes = [{ pattern = "sts.acme.example"');
    assert.equal(filled.match(/sts\.acme\.example/g).length, 2);
    writeFileSync(settings, filled);

    const net = await Internet.open();
    t.after(() => net.close());
    const github = await GitHub.start([{ account: 'acme', id: 1001, kind: 'Organization', repositories: ['app', '.github'] }]);
    t.after(() => github.close());
    net.host(net.address, github.answerer);
    const issuers = await Internet.open();
    t.after(() => issuers.close());
    const issuer = await MockIssuer.start(`http://${issuers.address}`);
    issuers.host(issuers.address, issuer.answerer);
    await github.commit('acme/app', '.github/chainguard/deploy.sts.yaml', `issuer: ${issuer.url}\nsubject: repo:acme/app:ref:refs/heads/main\npermissions:\n  contents: read\n`);
    const worker = await WranglerDev.start({
      GITHUB_APP_ID: String(APP_ID),
      GITHUB_APP_PRIVATE_KEY: github.privateKey,
      GITHUB_BASE_URL: `http://${net.address}`,
      ALLOW_LOOPBACK_HTTP: 'true',
    }, { folder: unpacked, state: join(place, 'state') });
    t.after(() => worker.close());

    const ready = await (await fetch(`${worker.url}/readyz`)).json();
    assert.equal(ready.status, 'ready', JSON.stringify(ready));
    const token = await issuer.token(actionsClaims({ aud: 'sts.acme.example' }));
    const answer = await fetch(`${worker.url}/sts/exchange?scope=acme/app&identity=deploy`, { headers: { authorization: `Bearer ${token}` } });
    const body = await answer.json();
    assert.equal(answer.status, 200, JSON.stringify(body));
    assert.deepEqual(body.permissions, { contents: 'read' });
    assert.ok(worker.lines.every((line) => !/custom build|make build/.test(line)));
  });

  test('has settings without a build, and with every placeholder', () => {
    const settings = readFileSync(`${ROOT}wrangler.toml`, 'utf8');
    const made = deployable(settings);
    assert.doesNotMatch(made, /\[build\]|make build|build\/index/);
    for (const text of ['id = "00000000000000000000000000000000"', 'DOMAIN = "sts.example.com"', '# routes = ', 'global_fetch_strictly_public', '[[migrations]]']) assert.ok(made.includes(text), text);
    assert.throws(() => deployable(settings.replace('main = "build/index.js"', 'main = "x.js"')));
  });
});

describe('paths of the machine', () => {
  test('are found, and nothing else', () => {
    const bytes = Buffer.concat([Buffer.from([0, 1]), Buffer.from('/srv/.cargo/registry/x.rs\0/srvless/y /home/mona'), Buffer.from([255])]);
    assert.deepEqual(machinePaths(bytes, ['/srv', '/', '', undefined, '/home']), ['/srv/.cargo/registry/x.rs', '/home/mona']);
    assert.deepEqual(machinePaths(bytes, ['/tmp/elsewhere']), []);
  });

  test('are not in the built Worker', () => {
    for (const name of ['index.js', 'index_bg.wasm']) {
      assert.deepEqual(machinePaths(readFileSync(`${ROOT}build/${name}`), [ROOT.slice(0, -1), process.env.HOME, process.env.CARGO_HOME]), [], name);
    }
  });
});

describe('the bill of materials', () => {
  const COMMIT = 'c'.repeat(40);
  /** What cargo says of the workspace in a folder, for one platform. */
  const described = (folder, platform) => {
    const options = { cwd: `${ROOT}${folder}`, encoding: 'utf8', maxBuffer: 256 * 1024 * 1024 };
    const metadata = JSON.parse(execFileSync('cargo', ['metadata', '--locked', '--format-version', '1', '--filter-platform', platform], options));
    return { metadata, lock: readFileSync(`${ROOT}${folder}Cargo.lock`, 'utf8') };
  };
  const workspace = described('', 'wasm32-unknown-unknown');
  const of = (root, tree = workspace) => sbom({ ...tree, root, artifact: { name: root, version: '0.1.0', type: 'application', sha256: 'a'.repeat(64) }, source: { folder: ROOT, repository: 'https://github.com/acme/octo-sts-worker', commit: COMMIT }, tools: [{ name: 'rustc', version: '1.91.0' }], date: '2026-11-20T18:00:00Z' });

  /** CycloneDX's own schema of its version 1.5, and what it refers to. */
  const validator = () => {
    const schema = (name) => JSON.parse(readFileSync(`${ROOT}node_modules/@cyclonedx/cyclonedx-library/res/schema/${name}.SNAPSHOT.schema.json`, 'utf8'));
    const ajv = new Ajv({ strict: false, allErrors: true });
    // By the names of their files, by which they refer to each other.
    for (const name of ['spdx', 'jsf-0.82']) ajv.addSchema({ ...schema(name), $id: `http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json` });
    addFormats.default(ajv);
    ajv.addFormat('iri-reference', (text) => URL.canParse(text, 'https://example.com/'));
    ajv.addFormat('idn-email', /^[^@\s]+@[^@\s]+$/);
    return ajv.compile(schema('bom-1.5'));
  };

  test('is what CycloneDX says that one is', () => {
    const validate = validator();
    const python = described('crates/python/', 'x86_64-unknown-linux-gnu');
    for (const [root, tree] of [['octo-sts-worker'], ['octo-sts-cli'], ['octo-sts-python', python]]) {
      const document = JSON.parse(of(root, tree));
      assert.ok(document.components.length > 20, root);
      assert.ok(validate(document), `${root}: ${JSON.stringify(validate.errors, null, 1)}`);
    }
    const document = JSON.parse(of('octo-sts-worker'));
    for (const spoil of [() => (document.components[0].type = 'crate'), () => (document.metadata.timestamp = 'today'), () => (document.serialNumber = 'urn:uuid:1')]) {
      spoil();
      assert.ok(!validate(document), 'the schema refuses what is none');
    }
  });

  test('says where the packages of this tree are from, which are on no registry', () => {
    const { components } = JSON.parse(of('octo-sts-worker'));
    const purl = (name) => components.find((component) => component.name === name)?.purl;
    const here = encodeURIComponent(`git+https://github.com/acme/octo-sts-worker@${COMMIT}`);
    assert.equal(purl('octo-sts-policy'), `pkg:cargo/octo-sts-policy@0.1.0?vcs_url=${here}#crates/policy`);
    assert.equal(purl('octo-sts-verifier'), `pkg:cargo/octo-sts-verifier@0.1.0?vcs_url=${here}#crates/verifier`);
    assert.match(purl('serde_json'), /^pkg:cargo\/serde_json@[\d.]+$/);
    for (const { name, purl: text, hashes } of components) {
      // Each part of a package URL is coded as one of a URL is, and is what it was when it is read.
      const [, coded, version, query] = /^pkg:cargo\/([^@?#]+)@([^?#]+)(?:\?([^#]+))?/.exec(text);
      assert.equal(decodeURIComponent(coded), name);
      assert.match(decodeURIComponent(version), /^\d+\.\d+\.\d+/);
      assert.equal(query === undefined, hashes !== undefined, `${name}: from a registry with a hash, or from this tree`);
    }
  });

  test('of the same input is the same text', () => {
    assert.equal(of('octo-sts-worker'), of('octo-sts-worker'));
    assert.notEqual(JSON.parse(of('octo-sts-worker')).serialNumber, JSON.parse(of('octo-sts-cli')).serialNumber);
  });

  test('has what the Worker is made of, with hashes and licences, and not what only tests need', () => {
    const { components, dependencies, serialNumber, specVersion, metadata: about } = JSON.parse(of('octo-sts-worker'));
    assert.equal(specVersion, '1.5');
    assert.match(serialNumber, /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(about.component.hashes[0].content, 'a'.repeat(64));
    const names = components.map(({ name }) => name);
    for (const name of ['worker', 'serde_json', 'octo-sts-policy', 'wasm-bindgen', 'saphyr-parser']) assert.ok(names.includes(name), name);
    for (const name of ['aws-lc-rs', 'proptest', 'insta', 'clap']) assert.ok(!names.includes(name), name);
    for (const { name, purl, hashes, licenses } of components) {
      assert.match(purl, /^pkg:cargo\/[\w-]+@/);
      if (!name.startsWith('octo-sts-')) assert.match(hashes?.[0].content ?? '', /^[0-9a-f]{64}$/, name);
      assert.match(licenses[0].expression, /^[\w.+ ()-]+$/, name);
    }
    const known = new Set(['artifact', ...components.map((component) => component['bom-ref'])]);
    assert.equal(known.size, components.length + 1, 'references are unique');
    for (const { ref, dependsOn } of dependencies) for (const one of [ref, ...dependsOn]) assert.ok(known.has(one), one);
    assert.ok(dependencies.find(({ ref }) => ref === 'artifact').dependsOn.length > 5);
  });
});
