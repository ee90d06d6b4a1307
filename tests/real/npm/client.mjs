// How the client programs say what their client saw: one JSON object, one member a scenario. The
// command line names the scenarios; without one all are played, in the order they stand in.
export const HTTPBIN = 'https://httpbin.example';
export const DOWN = 'https://down.example';
export const UNKNOWN = 'https://unknown.example';

export const BLOCK = '0123456789abcdef'.repeat(1024);
export const BLOCKS = 256;

async function played(scenario) {
  const begun = performance.now();
  let said;
  try {
    said = { said: await scenario() };
  } catch (error) {
    // fetch says only "fetch failed"; the cause is what is printed with it.
    const causes = [];
    for (let each = error; each; each = each.cause) causes.push(each.message);
    said = { raised: error.name, text: causes.join(': ') };
  }
  return { ...said, seconds: (performance.now() - begun) / 1000 };
}

export async function tell(scenarios) {
  const named = process.argv.slice(2);
  const told = {};
  for (const name of named.length ? named : Object.keys(scenarios)) {
    told[name] = await played(scenarios[name]);
  }
  process.stdout.write(`${JSON.stringify(told)}\n`);
}
