// What AWS does with a signed request: it signs what arrived with the key that the request names, here by the signer of
// AWS's own SDK, and compares.

import { createHash, createHmac } from 'node:crypto';

import { HttpRequest } from '@smithy/core/protocols';
import { SignatureV4 } from '@smithy/signature-v4';

/** Node's SHA-256 as the signer wants it. */
class Sha256 {
  #hash;

  constructor(secret) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', secret);
  }

  update(data) {
    this.#hash.update(data);
  }

  async digest() {
    return new Uint8Array(this.#hash.digest());
  }
}

const SHAPE = /^AWS4-HMAC-SHA256 Credential=(?<id>[^/,]+)\/\d{8}\/(?<region>[^/]+)\/(?<service>[^/]+)\/aws4_request, SignedHeaders=(?<names>\S+), Signature=[0-9a-f]{64}$/;

const signer = (keys, region, service) =>
  new SignatureV4({
    credentials: { accessKeyId: keys.AccessKeyId, secretAccessKey: keys.SecretAccessKey, sessionToken: keys.SessionToken },
    region, service, sha256: Sha256, uriEscapePath: true,
  });

const dateOf = (text) => new Date(text.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z'));

/** A presigned or plain request as the signer knows one. `body` is bytes. */
function httpRequest({ method, url, headers, body }) {
  const [path, query = ''] = url.split('?');
  return new HttpRequest({ method, protocol: 'https:', hostname: headers.host, path, query: Object.fromEntries(new URLSearchParams(query)), headers, body });
}

/**
 * Throws unless `{method, url, headers, body}` is signed with one of the keys (`{AccessKeyId, SecretAccessKey, SessionToken}`)
 * for the region and service. Resolves to the names of the signed headers.
 */
export async function verifySigned(arrived, keys, { region, service }) {
  const { authorization } = arrived.headers;
  const named = SHAPE.exec(authorization)?.groups;
  if (!named) throw new Error(`not signed: ${authorization}`);
  if (named.region !== region || named.service !== service) throw new Error(`signed for ${named.region} ${named.service}`);
  const key = keys.find(({ AccessKeyId }) => AccessKeyId === named.id);
  if (!key) throw new Error('UnrecognizedClientException');
  const names = named.names.split(';');
  if (arrived.headers['x-amz-security-token'] !== key.SessionToken) throw new Error('the session token is another one');
  const signed = Object.fromEntries(names.map((name) => [name, arrived.headers[name]]));
  const signingDate = dateOf(arrived.headers['x-amz-date']);
  if (Math.abs(signingDate - Date.now()) > 300_000) throw new Error('SignatureDoesNotMatch: it is not of now');
  const again = await signer(key, region, service).sign(httpRequest({ ...arrived, headers: signed }), { signingDate });
  if (again.headers.authorization !== authorization) throw new Error(`SignatureDoesNotMatch: ${authorization}, expected ${again.headers.authorization}`);
  return names;
}

/** Throws unless a bearer token is Bedrock's short-term key of one of the keys. Resolves to how long it lives, in seconds. */
export async function verifyBedrockKey(bearer, keys, region) {
  const encoded = /^Bearer bedrock-api-key-(\S+)$/.exec(bearer)?.[1];
  const url = new URL(`https://${Buffer.from(encoded ?? '', 'base64')}`);
  if (url.host !== 'bedrock.amazonaws.com' || url.pathname !== '/' || url.searchParams.get('Action') !== 'CallWithBearerToken') throw new Error(`no key: ${url.host}`);
  if (!url.href.endsWith('&Version=1')) throw new Error('no version, or a signed one');
  const [id, , , service] = url.searchParams.get('X-Amz-Credential').split('/');
  const key = keys.find(({ AccessKeyId }) => AccessKeyId === id);
  if (!key || service !== 'bedrock') throw new Error('UnrecognizedClientException');
  const expiresIn = Number(url.searchParams.get('X-Amz-Expires'));
  const presigned = await signer(key, region, service).presign(
    httpRequest({ method: 'POST', url: '/?Action=CallWithBearerToken', headers: { host: url.host } }),
    { expiresIn, signingDate: dateOf(url.searchParams.get('X-Amz-Date')) },
  );
  const expected = { ...presigned.query, Version: '1' };
  for (const [name, value] of url.searchParams) if (expected[name] !== value) throw new Error(`${name} is ${value}, expected ${expected[name]}`);
  if (Object.keys(expected).length !== [...url.searchParams].length) throw new Error('a parameter is missing');
  return expiresIn;
}
