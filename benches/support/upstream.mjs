// An API behind the proxy, in the mock's process: a small answer, a stream of events, many bytes, and a place for many.

/** The API's host. */
export const UPSTREAM_HOST = 'models.example.com';

/** How many bytes `/bytes` answers. */
export const LARGE = 100_000_000;

const CHUNK = Buffer.alloc(64_000, 'x');

/** What an API of this kind sends besides. */
const HEADERS = {
  'cache-control': 'no-cache',
  'request-id': 'req_011CQxample0123456789abc',
  'anthropic-organization-id': '7c0e1c0e-0000-4000-8000-000000000000',
  'anthropic-ratelimit-requests-limit': '4000',
  'anthropic-ratelimit-requests-remaining': '3999',
  'anthropic-ratelimit-requests-reset': '2026-01-01T00:00:00Z',
  'strict-transport-security': 'max-age=31536000; includeSubDomains; preload',
  'x-robots-tag': 'none',
  via: '1.1 google',
  server: 'cloudflare',
};

const ANSWER = JSON.stringify({
  id: 'msg_01XFDUDYJgAACzvnptvVoYEL',
  type: 'message',
  role: 'assistant',
  model: 'example',
  content: [{ type: 'text', text: 'It does what it says. '.repeat(20) }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage: { input_tokens: 250, output_tokens: 120 },
});

function answer(incoming, outgoing) {
  incoming.resume();
  incoming.on('end', () => {
    outgoing.writeHead(200, { ...HEADERS, 'content-type': 'application/json', 'content-length': Buffer.byteLength(ANSWER) });
    outgoing.end(ANSWER);
  });
}

/** Two events; the first after as many milliseconds as the query says. */
function events(incoming, outgoing) {
  incoming.resume();
  const wait = Number(new URL(incoming.url, 'http://x').searchParams.get('wait'));
  const begin = () => {
    outgoing.writeHead(200, { ...HEADERS, 'content-type': 'text/event-stream' });
    outgoing.write('event: message_start\ndata: {}\n\n');
    setTimeout(() => outgoing.end('event: message_stop\ndata: {}\n\n'), 5);
  };
  if (wait > 0) setTimeout(begin, wait);
  else begin();
}

function bytes(incoming, outgoing) {
  incoming.resume();
  outgoing.writeHead(200, { ...HEADERS, 'content-type': 'application/octet-stream' });
  let left = LARGE;
  const more = () => {
    while (left > 0) {
      const part = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
      left -= part.length;
      if (!outgoing.write(part)) return;
    }
    outgoing.end();
    outgoing.off('drain', more);
  };
  outgoing.on('drain', more);
  more();
}

function count(incoming, outgoing) {
  let total = 0;
  incoming.on('data', (chunk) => (total += chunk.length));
  incoming.on('end', () => outgoing.end(String(total)));
}

const ROUTES = { '/v1/events': events, '/v1/bytes': bytes, '/v1/count': count };

/** Answers a request to the API. */
export function upstream(incoming, outgoing) {
  (ROUTES[incoming.url.split('?')[0]] ?? answer)(incoming, outgoing);
}
