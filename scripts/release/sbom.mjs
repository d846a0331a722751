// A software bill of materials in CycloneDX 1.5, from what cargo itself says of a package: https://cyclonedx.org/docs/1.5/json/

import { createHash } from 'node:crypto';
import { dirname, relative, sep } from 'node:path';

/**
 * `metadata` is `cargo metadata`'s answer for one platform, `lock` the text of Cargo.lock, `artifact` what was built:
 * `{name, version, type, sha256}`. `source` is the tree that the packages without a registry are from:
 * `{folder, repository, commit}`. `tools` are `{name, version}` of what made it. The same input gives the same text.
 */
export function sbom({ metadata, lock, root, artifact, source, tools, date }) {
  const packages = new Map(metadata.packages.map((entry) => [entry.id, entry]));
  const nodes = new Map(metadata.resolve.nodes.map((node) => [node.id, node]));
  const rootId = metadata.packages.find(({ name, source }) => name === root && source === null).id;
  const checksums = checksumsOf(lock);
  const edges = reachable(rootId, nodes);
  const reference = (id) => (id === rootId ? 'artifact' : purlOf(packages.get(id), source));
  const components = [...edges.keys()]
    .filter((id) => id !== rootId)
    .map((id) => componentOf(packages.get(id), checksums, source))
    .sort(by('bom-ref'));
  const dependencies = [...edges]
    .map(([id, needs]) => ({ ref: reference(id), dependsOn: [...new Set(needs.map(reference))].sort() }))
    .sort(by('ref'));
  const document = {
    $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: {
      timestamp: date,
      tools: { components: tools.map(({ name, version }) => ({ type: 'application', name, version })) },
      component: {
        'bom-ref': 'artifact',
        type: artifact.type,
        name: artifact.name,
        version: artifact.version,
        licenses: [{ expression: 'Apache-2.0' }],
        hashes: [{ alg: 'SHA-256', content: artifact.sha256 }],
      },
    },
    components,
    dependencies,
  };
  const serialNumber = uuidOf(JSON.stringify(document));
  const { $schema, bomFormat, specVersion, ...rest } = document;
  return `${JSON.stringify({ $schema, bomFormat, specVersion, serialNumber, ...rest }, null, 2)}\n`;
}

/** What the package is made of or made with, but not what only its tests need: `{id: [id]}`. */
function reachable(rootId, nodes) {
  const edges = new Map();
  const queue = [rootId];
  while (queue.length > 0) {
    const id = queue.pop();
    if (edges.has(id)) continue;
    const needs = nodes.get(id).deps.filter(({ dep_kinds: kinds }) => kinds.some(({ kind }) => kind !== 'dev')).map(({ pkg }) => pkg);
    edges.set(id, needs);
    queue.push(...needs);
  }
  return edges;
}

function componentOf(entry, checksums, tree) {
  const { name, version, description, license, source, repository } = entry;
  const checksum = source === null ? undefined : checksums.get(`${name} ${version}`);
  const purl = purlOf(entry, tree);
  return {
    type: 'library',
    'bom-ref': purl,
    name,
    version,
    ...(description ? { description: description.trim().replace(/\s+/g, ' ') } : {}),
    scope: 'required',
    ...(checksum ? { hashes: [{ alg: 'SHA-256', content: checksum }] } : {}),
    // The older way to write a choice.
    ...(license ? { licenses: [{ expression: license.replaceAll('/', ' OR ') }] } : {}),
    purl,
    ...(repository ? { externalReferences: [{ type: 'vcs', url: repository }] } : {}),
  };
}

/**
 * https://github.com/package-url/purl-spec. Without a qualifier, a name of type `cargo` is one on crates.io. What is from this
 * tree is not: there somebody else could have a package of that name.
 */
function purlOf({ name, version, source, manifest_path: manifest }, tree) {
  const plain = `pkg:cargo/${name}@${encodeURIComponent(version)}`;
  if (source !== null) return plain;
  const folder = relative(tree.folder, dirname(manifest)).split(sep).map(encodeURIComponent).join('/');
  return `${plain}?vcs_url=${encodeURIComponent(`git+${tree.repository}@${tree.commit}`)}${folder === '' ? '' : `#${folder}`}`;
}

/** What crates.io says that a package's file hashes to, by name and version. */
function checksumsOf(lock) {
  const entries = lock.split('[[package]]').slice(1).map((text) => ({
    name: /^name = "(.+)"$/m.exec(text)?.[1],
    version: /^version = "(.+)"$/m.exec(text)?.[1],
    checksum: /^checksum = "([0-9a-f]{64})"$/m.exec(text)?.[1],
  }));
  return new Map(entries.filter(({ checksum }) => checksum).map(({ name, version, checksum }) => [`${name} ${version}`, checksum]));
}

/** A UUID of version 8 (RFC 9562) that depends on the content alone. */
function uuidOf(text) {
  const hex = createHash('sha256').update(text).digest('hex');
  const variant = ((Number.parseInt(hex[16], 16) & 3) | 8).toString(16);
  return `urn:uuid:${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

const by = (member) => (a, b) => (a[member] < b[member] ? -1 : Number(a[member] > b[member]));
