// README: a toy SDK as one CommonJS bundle. It holds one token, which a timer renews before it expires. It asks one
// endpoint, POST /token, which is answered {"token": jwt} or with a status that is no 200; a 401 signs out. Its one
// operation, fetchToken(), gives the token that it holds, or a new one where that has expired.

const AHEAD = 10; // s by which a token is renewed before it expires
const BACKGROUND_SIGNS_OUT = true; // the defect: a 401 in the background signs out, too

const expiry = jwt => JSON.parse(atob(jwt.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'))).exp; // s since 1970

exports.Toy = class {
  token = null;
  signedOut = false;

  constructor(onSignOut) {
    this.onSignOut = onSignOut;
  }

  async renew(signsOut) {
    const answer = await fetch('https://toy.test/token', { method: 'POST' });
    if (answer.status === 401 && signsOut && !this.signedOut) {
      Object.assign(this, { token: null, signedOut: true });
      clearTimeout(this.timer);
      this.onSignOut();
    }
    if (!answer.ok || this.signedOut) throw new Error(`status-${answer.status}`);
    this.token = (await answer.json()).token;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), (expiry(this.token) - AHEAD) * 1000 - Date.now());
    return this.token;
  }

  async refresh() {
    if (this.refreshing) return;
    this.refreshing = true;
    await this.renew(BACKGROUND_SIGNS_OUT).catch(() => {});
    this.refreshing = false;
  }

  async fetchToken() {
    return this.token && Date.now() < expiry(this.token) * 1000 ? this.token : this.renew(true);
  }
};
