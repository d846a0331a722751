// Repeats a request only if the answer says when. A request whose connection broke may have succeeded, and
// a refusal stays a refusal.

/** The service answers within 25 seconds. */
const TIMEOUT_MS = 30_000;
/** How often a request is repeated at most. */
const MAX_REPEATS = 3;
/** Runners cost money while they wait. */
const MAX_WAIT_MS = 120_000;
/** No legitimate answer is larger. */
const MAX_BODY = 1024 * 1024;

export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * One request. Resolves to `{status, headers, text}`; throws only if there is no answer. A redirect counts as an answer: a
 * credential goes only where it was meant to go.
 */
export async function ask(who, url, init) {
  try {
    const response = await fetch(url, { ...init, redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MS) });
    return { status: response.status, headers: response.headers, text: await bounded(response) };
  } catch (error) {
    const reason = error.name === 'TimeoutError' ? `no answer within ${TIMEOUT_MS / 1000} seconds` : (error.cause?.code ?? error.cause?.message ?? error.message);
    throw new Error(`${who} cannot be reached: ${reason}`);
  }
}

async function bounded(response) {
  const chunks = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > MAX_BODY) throw new Error('the answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * Returns the last answer to `send()`. Calls it again after a 429 or 5xx with `Retry-After`, at most three times
 * and within two minutes of waiting.
 */
export async function patiently(send, runner, { maxWait = MAX_WAIT_MS, wait = sleep } = {}) {
  let left = maxWait;
  for (let repeats = 0; ; repeats += 1) {
    const answer = await send();
    const later = answer.status === 429 || answer.status >= 500 ? retryAfter(answer.headers.get('retry-after'), Date.now()) : undefined;
    if (later === undefined || repeats === MAX_REPEATS || later > left) return answer;
    left -= later;
    runner.info(`answered with ${answer.status}; again in ${Math.ceil(later / 1000)} s`);
    await wait(later);
  }
}

/** Milliseconds to wait, from seconds or a date (RFC 9110, 10.2.3); `undefined` if it is neither. */
export function retryAfter(text, now) {
  if (text === null) return undefined;
  if (/^[0-9]{1,9}$/.test(text.trim())) return Number(text) * 1000;
  const at = /[A-Za-z]/.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}

/** A JSON object, or `undefined`. */
export function objectOf(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
