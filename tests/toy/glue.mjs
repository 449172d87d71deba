// README: the glue of the toy SDK (bundle.cjs): all that the driver has to be told of it. What a glue module exports
// is described at the top of properties/targets/driver/instance.mjs.

export const environment = () => ({}); // the SDK does not look where it runs

export function create(exports, runtime, announce) {
  const toy = new exports.Toy(() => announce(false));
  return {
    load: () => toy.renew(true).catch(() => {}), // refused: there is no session
    signedIn: () => toy.token !== null,
    activeToken: () => toy.token,
    operations: { fetchToken: () => toy.fetchToken() },
  };
}

export const errorName = error => error.message.replace('status-', 'api-');
