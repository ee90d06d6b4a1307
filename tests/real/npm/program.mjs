// How both programs live: their options come as one JSON line on standard input, one JSON line on
// standard output says where they listen, and the end of standard input ends them, so that a
// killed test run leaves no orphan behind.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';

// oidc-provider prints its notices with console.info; standard output is for the ready line alone.
console.log = console.info = console.error;

export async function readOptions() {
  const lines = createInterface({ input: process.stdin });
  lines.on('close', () => process.exit());
  const [line] = await once(lines, 'line');
  return JSON.parse(line);
}

export function ready(where) {
  process.stdout.write(`${JSON.stringify(where)}\n`);
}

export function tlsServer({ cert, key }) {
  return https.createServer({ cert: readFileSync(cert), key: readFileSync(key) });
}

export async function listen(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}

// The test's side door, in plain HTTP: `actions` maps "METHOD /path" to what answers it, which is
// given the JSON that came with it.
export function listenForControl(actions) {
  return listen(http.createServer(async (req, res) => {
    const action = actions[`${req.method} ${req.url}`];
    const answer = await action?.(JSON.parse(await text(req) || 'null'));
    res.writeHead(action ? 200 : 404, { 'content-type': 'application/json' });
    res.end(JSON.stringify(answer ?? null));
  }));
}
