// What the proxy asks of the runtime, where that takes several of the runtime's objects. Nothing here decides anything: what
// is sent, changed or refused comes from wasm. It is JavaScript because every call out of wasm costs about as much as what
// it calls, and so does every promise that wasm waits for: docs/adr/0017 has the figures.

/** For [`head`]: the headers whose values it reads, named in lines. */
export function wanted(names) {
  return new Map(names.split('\n').map((name, at) => [name, at]));
}

/**
 * The start of a message as one text of lines: its method or status and the number of its headers, the values of the wanted
 * headers (empty where there is none), and the names of all.
 */
export function head(message, wanted) {
  const values = new Array(wanted.size).fill('');
  let names = '';
  let count = 0;
  // In half the time that an iterator and a look-up for each value take.
  message.headers.forEach((value, name) => {
    const at = wanted.get(name);
    if (at !== undefined) values[at] = value;
    names += `\n${name}`;
    count += 1;
  });
  return `${message.method ?? message.status} ${count}\n${values.join('\n')}${names}`;
}

/** Changes headers: each line removes (`-name`), sets (`=name:value`) or appends (`+name:value`). */
export function edit(headers, edits) {
  for (const line of edits ? edits.split('\n') : []) {
    const colon = line.indexOf(':');
    if (line[0] === '-') headers.delete(line.slice(1));
    else if (line[0] === '=') headers.set(line.slice(1, colon), line.slice(colon + 1));
    else headers.append(line.slice(1, colon), line.slice(colon + 1));
  }
}

/** The request itself to another address: its method, its body with its length, and its headers with changes. */
export function readdressed(request, url, edits) {
  const out = new Request(url, request);
  edit(out.headers, edits);
  return out;
}

/**
 * Sends `out`, which was made from the caller's `request`. Resolves to the answer once its head is there, or to why there
 * is none: `late`, `hung_up` or `failed`.
 */
export async function send(request, out, limit) {
  const { signal } = request;
  // The caller may have hung up while the budget was asked. A listener added after the abort is never called.
  if (signal.aborted) return 'hung_up';
  // The runtime ignores the request's own signal, but obeys one derived from it.
  const ended = new AbortController();
  let why = 'failed';
  const end = (reason) => {
    why = reason;
    ended.abort();
  };
  const timer = setTimeout(end, limit, 'late');
  signal.addEventListener('abort', () => end('hung_up'));
  try {
    return await fetch(out, { redirect: 'manual', cache: 'no-store', signal: ended.signal });
  } catch {
    return why;
  } finally {
    clearTimeout(timer);
  }
}

/** An upstream's answer with its status, its stream and its headers with changes. */
export function passed(answer, edits) {
  const { status } = answer;
  // The runtime accepts no body with these.
  const body = status === 204 || status === 205 || status === 304 ? null : answer.body;
  const out = answerLike(answer, body);
  edit(out.headers, edits);
  return out;
}

function answerLike(answer, body) {
  try {
    return new Response(body, answer);
  } catch {
    // A reason phrase with a control character, which the runtime reads but does not write.
    return new Response(body, { status: answer.status, headers: answer.headers });
  }
}

/** The name of the header in which an object answers: without a body, there is no stream to read. */
const VERDICT = 'x-verdict';

/** What an object answers at an address. Rejects if it fails, refuses, or takes longer than `limit` milliseconds. */
export async function ask(namespace, object, address, limit) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer in time')), limit);
  });
  try {
    const answer = await Promise.race([namespace.get(namespace.idFromName(object)).fetch(address), late]);
    const verdict = answer.ok ? answer.headers.get(VERDICT) : null;
    if (verdict === null) throw new Error(answer.ok ? 'the object gave no verdict' : `the object answered ${answer.status}`);
    return verdict;
  } finally {
    clearTimeout(timer);
  }
}

/** An object's answer to [`ask`]. */
export function verdict(text) {
  return new Response(null, { headers: { [VERDICT]: text } });
}
