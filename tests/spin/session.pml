/* The client and its world once more, for SPIN: written by hand from the documentation of both, in whole seconds, so
 * that a mistake in ours would have to be made twice. One session token, one call of the app at a time.
 *
 * A policy is GUARD (#8303), LATE (#9030) and QUIET (the proposed fix); an assumption is STARVATION, and one of
 * EXPIRED, FOR_GOOD, ON_ARRIVAL or ROTATED for when the server says 401 to a valid session. LIMIT bounds the events.
 *
 * Counters of seconds stop where nothing can tell them apart: a token more than a second past its end, a request that
 * has been in flight for longer than the network takes.
 */

#define PAST (-1)
#define NEVER 127
#define PATIENCE 15

short left = 60;        /* seconds until the last active token expires */
short cached = 60;      /* the same of the token in the cache */
short refresh = 43;     /* seconds until the timer, or NEVER */
short evict = 60;
mtype = { EMPTY, TOKEN, PROMISE, IDLE, ASKING, RECOVERING };
mtype slot = TOKEN;
mtype back = IDLE;      /* the request that a timer began */
mtype fore = IDLE;      /* the request of the app's call */
bool back_stale, fore_stale;    /* sent when the last active token had expired */
byte back_age, fore_age;
bool signed_in = true;
short n;
#ifdef LIMIT
byte events;
#define COUNT events < LIMIT -> events++
#else
#define COUNT true
#endif

#ifdef GUARD
#define GUARDED (left == PAST)
#else
#define GUARDED false
#endif

#ifdef EXPIRED
#define BACK_401 back_stale
#define FORE_401 false
#endif
#ifdef FOR_GOOD
#define BACK_401 back_stale
#define FORE_401 fore_stale
#endif
#ifdef ON_ARRIVAL
#define BACK_401 (left == PAST)
#define FORE_401 false
#endif
#ifdef ROTATED
#define BACK_401 true
#define FORE_401 true
#endif
#ifndef BACK_401
#define BACK_401 false
#define FORE_401 false
#endif

inline token()
{
    left = 60; cached = 60; refresh = 43; evict = 60; slot = TOKEN
}

inline drop()
{
    slot = EMPTY; refresh = NEVER; evict = NEVER
}

/* Timers that are due run, the refresh before the eviction. */
inline run_timers()
{
    if
    :: refresh <= 0 ->
        refresh = NEVER;
        if
        :: back == IDLE && !GUARDED -> back = ASKING; back_stale = (left == PAST); back_age = 0
        :: else -> skip
        fi
    :: else -> skip
    fi;
    if
    :: evict <= 0 -> drop()
    :: else -> skip
    fi
}

inline age(s)
{
    left = (left - s < 0 -> PAST : left - s);
    cached = (cached - s < 0 -> PAST : cached - s);
    back_age = (back == IDLE || back_age + s > PATIENCE -> (back == IDLE -> 0 : PATIENCE + 1) : back_age + s);
    fore_age = (fore == IDLE || fore_age + s > PATIENCE -> (fore == IDLE -> 0 : PATIENCE + 1) : fore_age + s)
}

inline timers_near(s)
{
    refresh = (refresh == NEVER -> NEVER : refresh - s);
    evict = (evict == NEVER -> NEVER : evict - s)
}

#define MAY_PASS(s) ((back == IDLE || back_age + s <= PATIENCE) \
                  && (fore == IDLE || fore_age + s <= PATIENCE) \
                  && (refresh == NEVER || s <= refresh + PATIENCE) \
                  && (evict == NEVER || s <= evict + PATIENCE))

active proctype system()
{
end:
    do
    :: atomic { signed_in && COUNT;                                     /* time passes, timers run on time */
        select(n : 1 .. 61);
        if
        :: MAY_PASS(n) ->
            do
            :: n > 0 -> age(1); timers_near(1); run_timers(); n--
            :: else -> break
            od
        :: else -> n = 0
        fi }
#ifdef STARVATION
    :: atomic { signed_in && COUNT;                                     /* the event loop starves */
        select(n : 1 .. 61);
        age(n); timers_near(n); run_timers(); n = 0 }
    :: atomic { signed_in && COUNT;                                     /* the device sleeps */
        select(n : 1 .. 61);
        age(n); run_timers(); n = 0 }
#endif
    :: atomic { signed_in && fore == IDLE && COUNT;                     /* getToken() */
        if
        :: slot == TOKEN && cached > 5 -> skip
        :: else -> drop(); slot = PROMISE; fore = ASKING; fore_stale = (left == PAST); fore_age = 0
        fi }
    :: atomic { signed_in && fore == IDLE && COUNT;                     /* getToken({skipCache: true}) */
        drop(); slot = PROMISE; fore = ASKING; fore_stale = (left == PAST); fore_age = 0 }

    :: atomic { signed_in && back == ASKING && COUNT; back = IDLE; token() }
    :: atomic { signed_in && back == ASKING && BACK_401 && COUNT;
#ifdef QUIET
        back = IDLE; drop()
#else
        back = RECOVERING; back_stale = (left == PAST); back_age = 0
#endif
        }
    :: atomic { signed_in && back == RECOVERING && COUNT; back = IDLE; token() }
    :: atomic { signed_in && back == RECOVERING && BACK_401 && COUNT;
        assert(false) }                                                 /* the background signs the user out */

    :: atomic { signed_in && fore == ASKING && COUNT;
        fore = IDLE;
        if
#ifdef LATE
        :: true -> token()
#else
        :: slot == PROMISE -> token()
        :: slot != PROMISE -> left = 60                                 /* announced, not cached */
#endif
        fi }
    :: atomic { signed_in && fore == ASKING && FORE_401 && COUNT;
        fore = RECOVERING; fore_stale = (left == PAST); fore_age = 0 }
    :: atomic { signed_in && fore == RECOVERING && COUNT; fore = IDLE; token() }
    :: atomic { signed_in && fore == RECOVERING && FORE_401 && COUNT;
        signed_in = false }                                             /* in the foreground: not our question */
    od
}
