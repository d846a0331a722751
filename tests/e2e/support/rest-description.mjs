// GitHub's own description of its REST API, as a check of every request that the Worker sends: the path exists, its
// parameters have the described types, and the body has the described members and no others. GitHub ignores a member
// that it does not know, so a misspelled `repository` would silently ask for every repository.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import Ajv from 'ajv';
import addFormats from 'ajv-formats';

const require = createRequire(import.meta.url);

export class RestDescription {
  #operations = [];
  #ajv = new Ajv({ strict: false, allErrors: true });

  constructor() {
    const file = require.resolve('@octokit/openapi/generated/api.github.com.json');
    const description = JSON.parse(readFileSync(file, 'utf8'));
    addFormats.default(this.#ajv);
    for (const [template, methods] of Object.entries(description.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        this.#operations.push({
          method: method.toUpperCase(),
          template,
          pattern: patternOf(template, operation, description),
          operation,
        });
      }
    }
    // Literal paths before templates: `/user/repos` is not `/user/{username}`. Among those with as many parameters the
    // longer one first: `{ref}` may have several segments, and `/commits/{ref}` is not `/commits/{ref}/check-runs`.
    const parameters = ({ template }) => template.split('{').length;
    this.#operations.sort((a, b) => parameters(a) - parameters(b) || b.template.length - a.template.length);
    for (const { operation } of this.#operations) {
      const schema = operation.requestBody?.content?.['application/json']?.schema;
      if (schema) close(schema, description, new Set());
    }
    this.#ajv.addSchema(description, 'github');
    this.description = description;
  }

  /** What is wrong with a request, as a list of sentences. */
  violations({ method, path, headers, body }) {
    const url = new URL(path, 'https://api.github.com');
    const found = this.#operations.find((known) => known.method === method && known.pattern.test(url.pathname));
    if (!found) return [`${method} ${url.pathname} is not in GitHub's description`];
    const parameters = (found.operation.parameters ?? []).map((parameter) => resolve(parameter, this.description));
    return [
      ...this.#unknownQuery(url, parameters),
      ...this.#wrongPath(url, found, parameters),
      ...this.#wrongBody(found, headers, body),
    ].map((problem) => `${method} ${url.pathname}: ${problem}`);
  }

  #unknownQuery(url, parameters) {
    const known = new Set(parameters.filter(({ in: place }) => place === 'query').map(({ name }) => name));
    return [...url.searchParams.keys()].filter((name) => !known.has(name)).map((name) => `unknown query parameter ${name}`);
  }

  #wrongPath(url, { pattern }, parameters) {
    const values = pattern.exec(url.pathname).groups ?? {};
    return parameters
      .filter(({ in: place, schema }) => place === 'path' && schema?.type === 'integer')
      .filter(({ name }) => !/^\d+$/.test(values[groupName(name)]))
      .map(({ name }) => `path parameter ${name} is not an integer`);
  }

  #wrongBody({ template, method, operation }, headers, body) {
    const described = operation.requestBody?.content?.['application/json'];
    if (!described) return body === '' ? [] : ['a body where none is described'];
    if (body === '') return operation.requestBody.required ? ['no body where one is required'] : [];
    if (headers['content-type'] !== 'application/json') return [`content-type ${headers['content-type']}`];
    let value;
    try {
      value = JSON.parse(body);
    } catch {
      return ['the body is not JSON'];
    }
    const pointer = ['paths', template, method.toLowerCase(), 'requestBody', 'content', 'application/json', 'schema']
      .map((part) => part.replaceAll('~', '~0').replaceAll('/', '~1'))
      .map(encodeURIComponent)
      .join('/');
    const validate = this.#ajv.getSchema(`github#/${pointer}`);
    if (validate(value)) return [];
    return validate.errors.map((error) => `body${error.instancePath} ${error.message} ${JSON.stringify(error.params)}`);
  }
}

function patternOf(template, operation, description) {
  const severalSegments = new Set(
    (operation.parameters ?? [])
      .map((parameter) => resolve(parameter, description))
      .filter((parameter) => parameter['x-multi-segment'])
      .map(({ name }) => name),
  );
  const source = template
    .split(/(\{[^}]+\})/)
    .map((part) => {
      const name = /^\{(.+)\}$/.exec(part)?.[1];
      if (!name) return part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
      return `(?<${groupName(name)}>${severalSegments.has(name) ? '.+' : '[^/]+'})`;
    })
    .join('');
  return new RegExp(`^${source}$`);
}

const groupName = (name) => name.replaceAll('-', '_');

/** Forbids members that a request schema does not name, wherever it does not say otherwise itself. */
function close(schema, description, seen) {
  if (!schema || typeof schema !== 'object' || seen.has(schema)) return;
  seen.add(schema);
  if (schema.$ref) {
    close(resolve(schema, description), description, seen);
    return;
  }
  if (schema.properties && schema.additionalProperties === undefined && !schema.allOf && !schema.anyOf && !schema.oneOf) {
    schema.additionalProperties = false;
  }
  for (const property of Object.values(schema.properties ?? {})) close(property, description, seen);
  close(schema.items, description, seen);
}

function resolve(value, description) {
  if (!value?.$ref) return value;
  return value.$ref
    .slice(2)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((node, part) => node[part], description);
}
