// README: the glue of the toy SDK (bundle.cjs): all that the driver has to be told of it. What a glue module exports
// is described at the top of properties/targets/driver/instance.mjs.

export const environment = () => ({}); // the SDK does not look where it runs

export function create(exports, runtime, announce) {
  const toy = new exports.Toy(() => announce(false));
  const refused = error => {
    if (!toy.signedOut) throw error;
  };
  return {
    load: () => (toy.loading ??= toy.renew(true).catch(refused).finally(() => (toy.loading = null))),
    signedIn: () => toy.token !== null,
    activeToken: () => toy.token,
    operations: { fetchToken: () => toy.fetchToken() },
  };
}

export const errorName = error => error.message.replace('status-', 'api-');
