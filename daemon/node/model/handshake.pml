/* The handshake and the election of meantime, for three nodes and an attacker who owns the network. Sentences are PROTOCOL.md's.
 *
 * Whatever was sent stays known for ever, and any node may be brought any of it at any time, in any order, once, often or never: that is all
 * that an attacker without the key can do. So there are no channels: what was sent is a set, kept in the arrays below, and a node's step may
 * use any member of it. Time is anybody's guess: whoever holds no office may stand at any moment, and proof may be too old at any moment,
 * so no property here rests on a timer.
 *
 * Take a check out with -DNO_ACK_NONCE, -DNO_ADJUST_NONCE, -DNO_ONCE, -DNO_FENCE, -DNO_ECHO or -DNO_POLL_NONCE, and spin finds the attack.
 */
#define N       3
#define NOBODY  N
#ifndef POLLS
#define POLLS   2               /* rounds that a node leads at most */
#endif
#ifndef REPLIES
#define REPLIES 2               /* Replies that a node sends at most: each has a nonce of its own */
#endif
#ifndef ASKS
#define ASKS    0               /* Candidates that a node sends at most; 0: whoever may stand takes office unasked, at any moment */
#endif
#ifndef TERMS
#define TERMS   2
#endif
#ifndef ABLE
#define ABLE    2               /* nodes that may stand, the first ones; all others are slaves for life */
#endif
#ifndef FAULTS
#define FAULTS  1               /* deaths and restarts in all */
#endif

#define R(m, r) ((m) * POLLS + (r) - 1)
#define K(s, k) ((s) * REPLIES + (k) - 1)
#define A(c, q) ((c) * ASKS + (q) - 1)
#define S(s, m) ((s) * N + (m))
#define O(s, t) ((s) * (TERMS + 1) + (t))

/* The checks. me is the receiver, (s, k) the Reply that a packet answers, (m, r) the master's round. */
#ifdef NO_ACK_NONCE
#define ACK_SHOWS       true
#else
#define ACK_SHOWS       (s == me && k > since[S(me, m)])
#endif
#ifdef NO_ADJUST_NONCE
#define ADJUST_SHOWS    true
#else
#define ADJUST_SHOWS    (k > since[S(me, m)])
#endif
#ifdef NO_ONCE
#define FIRST           true
#else
#define FIRST           (!adjusted[S(me, m)])
#endif
#ifdef NO_FENCE
#define FENCE           true
#else
#define FENCE           (round[R(m, r)].term > node[me].term || round[R(m, r)].term == node[me].term && \
                         (node[me].obeyed == m || node[me].obeyed == NOBODY))
#endif
#ifdef NO_POLL_NONCE
#define REPLY_SHOWS     true
#else
#define REPLY_SHOWS     (reply[K(s, k)].master == me && reply[K(s, k)].round == polls[me])
#endif
#ifdef NO_ECHO
#define QUESTION        select(q : 1 .. ASKS)
#else
#define QUESTION        q = node[me].asking
#endif

#define PRESENT         (seen[S(me, m)] == r && seenLife[S(me, m)] == round[R(m, r)].life)
#define ENTERED         (round[R(me, polls[me])].entry[s])
#define NEWER           (ENTERED == 0 || k > ENTERED || reply[K(s, k)].life != reply[K(s, ENTERED)].life)
#define OUTBIDS         (reply[K(s, k)].term > node[me].term || reply[K(s, k)].term == node[me].term && reply[K(s, k)].obeys != me)

/* What was sent. A round is a Poll and, once closed, an Adjust; its number is never used again, in whatever life (nonces are random). */
typedef Round { bit life; bit closed; byte term; byte entry[N] };
typedef Reply { byte master; byte round; bit life; byte term; byte obeys; bit acked };
Round round[N * POLLS];
Reply reply[N * REPLIES];
byte polls[N], replies[N], asks[N];
byte claim[N * ASKS * N + 1];   /* by question and claimant: 1 speaks for a master, 2 is one */

/* What a node knows. Only term is on disk (9.21). */
typedef Node { bit up; bit life; bit office; bit open; bit proof; byte term; byte obeyed; byte follows; byte asking };
Node node[N];
byte seen[N * N];               /* sessions: the last round of each master that was polled by */
byte since[N * N];              /* and how many Replies went before: their nonces are not outstanding any more */
bit  seenLife[N * N], adjusted[N * N];
byte faults;

/* What only the referee knows. */
bit  lived[N * N];              /* the master lived when this node took its last Poll */
byte under[N * (TERMS + 1)];    /* whom a node, in this life, obeyed under a term: 0 nobody, else 1 + id */

byte i, m, r, s, k, q, j;

/* Sessions end with the start, and with the taking of office. */
inline forgetSessions(n) {
	node[n].proof = 0; node[n].asking = 0; node[n].follows = NOBODY;
	m = 0;
	do
	:: m < N -> seen[S(n, m)] = 0; since[S(n, m)] = 0; seenLife[S(n, m)] = 0; adjusted[S(n, m)] = 0; lived[S(n, m)] = 0; m++
	:: else -> m = 0; break
	od
}

inline forget(n) {
	forgetSessions(n);
	node[n].office = 0; node[n].open = 0; node[n].obeyed = NOBODY;
	do
	:: m <= TERMS -> under[O(n, m)] = 0; m++
	:: else -> m = 0; break
	od
}

inline obey(n, whose, when) {
	assert(when >= node[n].term);                                     /* terms do not go back */
	assert(under[O(n, when)] == 0 || under[O(n, when)] == whose + 1); /* one master a term */
	under[O(n, when)] = whose + 1;
	node[n].obeyed = whose; node[n].term = when
}

proctype member(byte me) {
	do
#if ASKS
	/* 9.10, 9.16: stand, or ask another master */
	:: atomic { node[me].up && me < ABLE && !node[me].asking && asks[me] < ASKS -> asks[me]++; node[me].asking = asks[me] }
	/* 9.15: nobody objected, or nobody was let through */
	:: atomic { node[me].up && !node[me].office && node[me].asking && node[me].term < TERMS ->
		forgetSessions(me); node[me].office = 1;
		obey(me, me, node[me].term + 1) }
	/* 9.12: any Candidate ever sent is answered, by a master or by who has proof of one */
	:: atomic { node[me].up && (node[me].office || node[me].proof) ->
		select(s : 0 .. N - 1); select(q : 1 .. ASKS);
		if
		:: s != me && q <= asks[s] && (node[me].office || node[me].follows != s) -> claim[A(s, q) * N + me] = 1 + node[me].office
		:: else
		fi; s = 0; q = 0 }
	/* 9.14, 9.18, 9.19: a Claim that shows the nonce of the question */
	:: atomic { node[me].up && node[me].asking ->
		select(j : 0 .. N - 1); QUESTION;
		if
		:: q <= asks[me] && claim[A(me, q) * N + j] ->
			assert(claim[A(me, node[me].asking) * N + j]); /* who holds a node back, or puts it out of office, answered it */
			if
			:: !node[me].office -> node[me].asking = 0
			:: node[me].office && claim[A(me, q) * N + j] == 2 ->
				node[me].asking = 0;
				if
				:: j > me -> node[me].office = 0; node[me].open = 0
				:: else
				fi
			:: else
			fi
		:: else
		fi; j = 0; q = 0 }
#else
	:: atomic { node[me].up && me < ABLE && !node[me].office && node[me].term < TERMS ->
		forgetSessions(me); node[me].office = 1;
		obey(me, me, node[me].term + 1) }
#endif
	/* 8.4: a round begins */
	:: atomic { node[me].up && node[me].office && !node[me].open && polls[me] < POLLS ->
		polls[me]++; node[me].open = 1;
		round[R(me, polls[me])].life = node[me].life }
	/* 8.5, 8.11: any Poll ever sent is taken, if it is of a later round, or of another life; it proves nothing */
	:: atomic { node[me].up && !node[me].office ->
		select(m : 0 .. N - 1); select(r : 1 .. POLLS);
		if
		:: m != me && r <= polls[m] && (seen[S(me, m)] < r || seenLife[S(me, m)] != round[R(m, r)].life) ->
			seen[S(me, m)] = r; seenLife[S(me, m)] = round[R(m, r)].life; adjusted[S(me, m)] = 0; since[S(me, m)] = replies[me];
			lived[S(me, m)] = node[m].up && node[m].life == round[R(m, r)].life
		:: else
		fi; m = 0; r = 0 }
	/* 8.5: and answered */
	:: atomic { node[me].up && !node[me].office && replies[me] < REPLIES ->
		select(m : 0 .. N - 1);
		if
		:: seen[S(me, m)] ->
			replies[me]++; k = K(me, replies[me]);
			reply[k].master = m; reply[k].round = seen[S(me, m)]; reply[k].life = node[me].life;
			reply[k].term = node[me].term; reply[k].obeys = node[me].follows
		:: else
		fi; m = 0; k = 0 }
	/* 8.6, 9.22: the master takes any Reply ever sent that shows this round's nonce */
	:: atomic { node[me].up && node[me].office && node[me].open ->
		select(s : 0 .. N - 1); select(k : 1 .. REPLIES);
		if
		:: s != me && k <= replies[s] && NEWER && REPLY_SHOWS ->
			assert(reply[K(s, k)].master == me && reply[K(s, k)].round == polls[me]); /* measured in this round */
			reply[K(s, k)].acked = 1; round[R(me, polls[me])].entry[s] = k;
			if
			:: OUTBIDS && reply[K(s, k)].term < TERMS -> obey(me, me, reply[K(s, k)].term + 1)
			:: else
			fi
		:: else
		fi; s = 0; k = 0 }
	/* the round ends with an Adjust */
	:: atomic { node[me].up && node[me].office && node[me].open ->
		node[me].open = 0; round[R(me, polls[me])].closed = 1; round[R(me, polls[me])].term = node[me].term }
	/* 8.11, 9.5: any Ack ever sent is taken that shows a nonce of this life and of the round that runs */
	:: atomic { node[me].up && !node[me].office ->
		select(s : 0 .. N - 1); select(k : 1 .. REPLIES);
		m = reply[K(s, k)].master; r = reply[K(s, k)].round;
		if
		:: k <= replies[s] && reply[K(s, k)].acked && m != me && PRESENT && ACK_SHOWS ->
			assert(lived[S(me, m)]); /* the dead renew no timer and win nobody */
			if
			:: node[me].follows == NOBODY || node[me].follows == m || !node[me].proof ->
				node[me].follows = m; node[me].proof = 1; node[me].asking = 0
			:: else
			fi
		:: else
		fi; s = 0; k = 0; m = 0; r = 0 }
	/* 8.12, 9.20: any Adjust ever sent is taken that holds an entry with a nonce of this life and of the round that runs */
	:: atomic { node[me].up && !node[me].office && node[me].follows != NOBODY ->
		m = node[me].follows; r = seen[S(me, m)]; k = 0;
		if
		:: r && round[R(m, r)].closed -> k = round[R(m, r)].entry[me]
		:: else
		fi;
		if
		:: k && PRESENT && ADJUST_SHOWS && FIRST && FENCE ->
			assert(reply[K(me, k)].life == node[me].life && reply[K(me, k)].master == m && reply[K(me, k)].round == r);
			assert(lived[S(me, m)] && !adjusted[S(me, m)]);
			adjusted[S(me, m)] = 1; node[me].proof = 1; node[me].asking = 0;
			obey(me, m, round[R(m, r)].term)
		:: else
		fi; m = 0; r = 0; k = 0 }
	/* time passes without proof */
	:: atomic { node[me].up && node[me].proof -> node[me].proof = 0 }
	/* a death, for good or with a restart, which keeps the term and nothing else */
	:: atomic { node[me].up && faults < FAULTS -> faults++; forget(me); node[me].up = 0 }
	:: atomic { node[me].up && faults < FAULTS && !node[me].life -> faults++; forget(me); node[me].life = 1 }
	od
}

init {
	atomic {
		i = 0;
		do
		:: i < N -> node[i].up = 1; node[i].obeyed = NOBODY; node[i].follows = NOBODY; i++
		:: else -> break
		od;
		i = 0; m = 0;
		run member(0); run member(1); run member(2)
	}
}
