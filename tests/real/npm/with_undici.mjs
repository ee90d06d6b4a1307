// undici with the agent that looks at the environment; it offers HTTP/2 as well.
import { once } from 'node:events';
import { get } from 'node:https';
import { json } from 'node:stream/consumers';
import { EnvHttpProxyAgent, request } from 'undici';
import { BLOCK, BLOCKS, DOWN, HTTPBIN, UNKNOWN, tell } from './client.mjs';

const dispatcher = new EnvHttpProxyAgent({ allowH2: true });
const call = (url, options) => request(url, { dispatcher, ...options });
const post = (body, headers) => call(`${HTTPBIN}/anything`, { method: 'POST', body, headers });

async function one(number) {
  const { body } = await call(`${HTTPBIN}/get?n=${number}`);
  return Number((await body.json()).args.n);
}

async function* blocks() {
  for (let each = 0; each < BLOCKS; each += 1) yield BLOCK;
}

async function slowDown(status) {
  const answer = await call(`${HTTPBIN}/slow-down/${status}/${process.pid}-${status}`);
  return [answer.statusCode, (await answer.body.json()).asked];
}

async function answered(promise) {
  const { statusCode: status, body } = await promise;
  return { status, body: await body.json() };
}

await tell({
  read: async () => (await (await call(`${HTTPBIN}/json`)).body.json()).slideshow,
  write: async () => {
    const sent = JSON.stringify({ title: 'ü' });
    return (await (await post(sent, { 'content-type': 'application/json' })).body.json()).json;
  },
  denied: () => answered(call(`${HTTPBIN}/anything`, { method: 'DELETE' })),
  denied_upload: async () => {
    const { statusCode, body } = await call(`${HTTPBIN}/status/200`, { method: 'DELETE', body: blocks() });
    return [statusCode, (await body.json()).detail];
  },
  refused: () => answered(call(`${HTTPBIN}/json`)),
  several: async () => {
    const inTurn = [];
    for (let n = 0; n < 8; n += 1) inTurn.push(await one(n));
    const rest = await Promise.all(Array.from({ length: 8 }, (_, n) => one(n + 8)));
    return [...inTurn, ...rest];
  },
  large: async () => (await (await post(BLOCK.repeat(BLOCKS))).body.json()).data === BLOCK.repeat(BLOCKS),
  unknown_length: async () => (await (await post(blocks())).body.json()).data === BLOCK.repeat(BLOCKS),
  events: async () => {
    const { body } = await call(`${HTTPBIN}/events/${process.pid}`);
    const seen = [];
    for await (const chunk of body) {
      if (seen.length === 0) await (await call(`${HTTPBIN}/seen/${process.pid}`)).body.dump();
      seen.push(String(chunk).trim());
    }
    return seen;
  },
  head: async () => {
    const { statusCode, headers, body } = await call(`${HTTPBIN}/json`, { method: 'HEAD' });
    return [statusCode, headers['content-type'], (await body.text()).length];
  },
  options: async () => {
    const { statusCode, headers, body } = await call(`${HTTPBIN}/get`, { method: 'OPTIONS' });
    await body.dump();
    return [statusCode, headers.allow.includes('GET')];
  },
  empty: async () => {
    const { statusCode, body } = await call(`${HTTPBIN}/status/204`);
    return [statusCode, await body.text()];
  },
  unchanged: async () => {
    const headers = { 'if-modified-since': 'Wed, 25 Nov 2026 15:00:00 GMT' };
    const { statusCode, body } = await call(`${HTTPBIN}/cache`, { headers });
    await body.dump();
    return statusCode;
  },
  redirected: async () => {
    const { statusCode, headers, body } = await call(`${HTTPBIN}/redirect-to?url=/get`);
    await body.dump();
    const followed = await fetch(`${HTTPBIN}/redirect-to?url=/get`);
    await followed.text();
    return [statusCode, headers.location, followed.status];
  },
  compressed: () => answered(call(`${HTTPBIN}/gzip`)),
  slow_down: async () => [await slowDown(429), await slowDown(503)],
  down: () => answered(call(DOWN)),
  unknown: () => call(UNKNOWN),
  // Node's own clients, which NODE_USE_ENV_PROXY turns to the proxy
  fetch: async () => (await (await fetch(`${HTTPBIN}/json`)).json()).slideshow,
  fetch_unknown: () => fetch(UNKNOWN),
  https: async () => {
    const [answer] = await once(get(`${HTTPBIN}/json`), 'response');
    return (await json(answer)).slideshow;
  },
  https_unknown: () => once(get(UNKNOWN), 'response'),
});
process.exit();
