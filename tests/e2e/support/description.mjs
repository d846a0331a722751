// Checks every answer that the tests see against docs/openapi.yaml.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import Ajv from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { parse } from 'yaml';

const DOCUMENT = parse(readFileSync(new URL('../../../docs/openapi.yaml', import.meta.url), 'utf8'));

const ajv = new Ajv({ strict: false, allErrors: true });
addFormats(ajv);
ajv.addSchema({ ...DOCUMENT, $id: 'openapi' });

const at = (pointer) => pointer.slice(2).split('/').reduce((node, name) => node[name.replaceAll('~1', '/')], DOCUMENT);
const resolved = (node) => (node?.$ref ? at(node.$ref) : node);

/** References are the document's own, wherever a schema is compiled. */
const absolute = (schema) => JSON.parse(JSON.stringify(schema).replaceAll('"$ref":"#', '"$ref":"openapi#'));

const compiled = new Map();
function validator(schema) {
  const key = JSON.stringify(schema);
  if (!compiled.has(key)) compiled.set(key, ajv.compile(absolute(schema)));
  return compiled.get(key);
}

/** The description of an answer, or nothing if the route is not described: then it must be a 404 or 405. */
function described(method, path, status) {
  const route = DOCUMENT.paths[path.length > 1 ? path.replace(/\/$/, '') : path];
  const operation = route?.[method.toLowerCase()];
  const responses = operation?.responses ?? { default: { $ref: '#/components/responses/Error' } };
  return { known: operation !== undefined, response: resolved(responses[status] ?? responses.default) };
}

/** Fails if an answer does not match docs/openapi.yaml. The proxy's upstreams are not described. */
export async function check(method, target, response) {
  const { pathname } = new URL(target, 'https://sts.example.com');
  if (pathname.startsWith('/proxy/')) return;
  const where = `${method} ${pathname} ${response.status}`;
  // GitHub's deliveries are accepted at `/` too.
  const isDelivery = pathname === '/' && method === 'POST';
  const { response: expected } = described(method, isDelivery ? '/webhook' : pathname, response.status);
  assert.ok(expected, `${where} is not in docs/openapi.yaml`);
  for (const [name, header] of Object.entries(expected.headers ?? {})) {
    const value = response.headers.get(name);
    assert.ok(value !== null || !header.required, `${where} has no ${name}`);
    if (value !== null) assert.ok(validator(header.schema)(value), `${where}: ${name}: ${value}`);
  }
  const schema = expected.content?.['application/json']?.schema;
  const text = await response.clone().text();
  if (method === 'HEAD' || !schema) {
    assert.equal(text, '', `${where} has a body`);
    return;
  }
  assert.equal(response.headers.get('content-type'), 'application/json', where);
  const validate = validator(schema);
  assert.ok(validate(JSON.parse(text)), `${where}: ${ajv.errorsText(validate.errors)}: ${text.slice(0, 400)}`);
}
