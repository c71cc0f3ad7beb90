//! A workload that needs no trace: conversations that share a system prompt.

use std::ops::RangeInclusive;

use crate::request::{Prompt, Request};

/// Conversations of several turns that begin with one system prompt, the same for the same settings.
///
/// A turn's prompt holds all earlier ones and stand-ins for their replies, as a chat server sees it: what a prefix cache
/// lives on. The stand-ins are not what the engine answered, so that the workload is known before it runs.
///
/// ```
/// use kvlens_native::workload::Conversations;
/// let requests: Vec<_> = Conversations::new(7).with_conversations(2).with_turns(3).requests().collect();
/// assert_eq!(requests.len(), 6);
/// assert!(requests.is_sorted_by_key(|request| request.arrival_ns));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conversations {
    /// Decides all lengths, tokens and times.
    pub seed: u64,
    /// How many conversations: [`Self::DEFAULT_CONVERSATIONS`] unless set.
    pub conversations: u32,
    /// Turns of each: [`Self::DEFAULT_TURNS`] unless set.
    pub turns: u32,
    /// Tokens of the system prompt: [`Self::DEFAULT_SYSTEM_TOKENS`] unless set.
    pub system_tokens: u32,
    /// Tokens of what a user says in a turn: [`Self::DEFAULT_USER_TOKENS`] unless set.
    pub user_tokens: RangeInclusive<u32>,
    /// Tokens of a reply: [`Self::DEFAULT_REPLY_TOKENS`] unless set.
    pub reply_tokens: RangeInclusive<u32>,
    /// Nanoseconds between the beginnings of two conversations, on average: [`Self::DEFAULT_START_NS`] unless set.
    pub start_ns: u64,
    /// Nanoseconds between two turns of a conversation, on average: [`Self::DEFAULT_TURN_NS`] unless set.
    pub turn_ns: u64,
    /// Token ids lie below this: [`Self::DEFAULT_VOCABULARY`] unless set.
    pub vocabulary: u32,
}

impl Conversations {
    /// Conversations unless set otherwise.
    pub const DEFAULT_CONVERSATIONS: u32 = 32;
    /// Turns of a conversation unless set otherwise.
    pub const DEFAULT_TURNS: u32 = 5;
    /// Tokens of the system prompt unless set otherwise.
    pub const DEFAULT_SYSTEM_TOKENS: u32 = 256;
    /// Tokens of what a user says unless set otherwise.
    pub const DEFAULT_USER_TOKENS: RangeInclusive<u32> = 16..=96;
    /// Tokens of a reply unless set otherwise.
    pub const DEFAULT_REPLY_TOKENS: RangeInclusive<u32> = 16..=64;
    /// Nanoseconds between the beginnings of two conversations unless set otherwise, on average.
    pub const DEFAULT_START_NS: u64 = 80_000_000;
    /// Nanoseconds between two turns unless set otherwise, on average.
    pub const DEFAULT_TURN_NS: u64 = 600_000_000;
    /// Token ids lie below this unless set otherwise.
    pub const DEFAULT_VOCABULARY: u32 = 32_000;

    /// Makes the default workload of a seed.
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            conversations: Self::DEFAULT_CONVERSATIONS,
            turns: Self::DEFAULT_TURNS,
            system_tokens: Self::DEFAULT_SYSTEM_TOKENS,
            user_tokens: Self::DEFAULT_USER_TOKENS,
            reply_tokens: Self::DEFAULT_REPLY_TOKENS,
            start_ns: Self::DEFAULT_START_NS,
            turn_ns: Self::DEFAULT_TURN_NS,
            vocabulary: Self::DEFAULT_VOCABULARY,
        }
    }

    /// Sets how many conversations there are.
    #[must_use]
    pub fn with_conversations(mut self, conversations: u32) -> Self {
        self.conversations = conversations;
        self
    }

    /// Sets how many turns each has.
    #[must_use]
    pub fn with_turns(mut self, turns: u32) -> Self {
        self.turns = turns;
        self
    }

    /// Sets the tokens of the system prompt; what a user says has at least one token, so 0 is fine.
    #[must_use]
    pub fn with_system_tokens(mut self, tokens: u32) -> Self {
        self.system_tokens = tokens;
        self
    }

    /// Sets the tokens of what a user says in a turn; 0 counts as 1.
    #[must_use]
    pub fn with_user_tokens(mut self, tokens: RangeInclusive<u32>) -> Self {
        self.user_tokens = tokens;
        self
    }

    /// Sets the tokens of a reply; 0 counts as 1.
    #[must_use]
    pub fn with_reply_tokens(mut self, tokens: RangeInclusive<u32>) -> Self {
        self.reply_tokens = tokens;
        self
    }

    /// Sets the average times between the beginnings of two conversations, and between two turns of one.
    #[must_use]
    pub fn with_times_ns(mut self, start_ns: u64, turn_ns: u64) -> Self {
        self.start_ns = start_ns;
        self.turn_ns = turn_ns;
        self
    }

    /// Makes the requests, one at a time, in the order of their arrival.
    pub fn requests(&self) -> Turns {
        let mut order = Vec::new();
        let mut times = SplitMix(self.seed ^ TIMES);
        let mut start = 0_u64;
        for conversation in 0..self.conversations {
            let mut at = start;
            for turn in 0..self.turns {
                order.push((at, conversation, turn));
                at = at.saturating_add(times.up_to(self.turn_ns.saturating_mul(2)));
            }
            start = start.saturating_add(times.up_to(self.start_ns.saturating_mul(2)));
        }
        order.sort_unstable();
        Turns {
            workload: self.clone(),
            order: order.into_iter(),
            next_id: 0,
        }
    }

    /// The prompt and the reply's length of a turn.
    fn turn(&self, conversation: u32, turn: u32) -> (Vec<u32>, u32) {
        let mut tokens = Vec::new();
        self.extend(&mut SplitMix(self.seed), self.system_tokens, &mut tokens);
        let mut random = SplitMix(self.seed ^ (u64::from(conversation) + 1).wrapping_mul(CONVERSATION));
        let mut reply = 0;
        for earlier in 0..=turn {
            let user = random.within(&self.user_tokens);
            self.extend(&mut random, user, &mut tokens);
            reply = random.within(&self.reply_tokens);
            if earlier < turn {
                self.extend(&mut random, reply, &mut tokens);
            }
        }
        (tokens, reply)
    }

    fn extend(&self, random: &mut SplitMix, count: u32, tokens: &mut Vec<u32>) {
        let last = u64::from(self.vocabulary.saturating_sub(1));
        let token = |_| u32::try_from(random.up_to(last)).unwrap_or(0);
        tokens.extend((0..count).map(token));
    }
}

/// The requests of [`Conversations`], made one at a time.
#[derive(Debug, Clone)]
pub struct Turns {
    workload: Conversations,
    order: std::vec::IntoIter<(u64, u32, u32)>,
    next_id: u64,
}

impl Iterator for Turns {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        let (arrival_ns, conversation, turn) = self.order.next()?;
        let (tokens, reply) = self.workload.turn(conversation, turn);
        let id = self.next_id;
        self.next_id += 1;
        let name = format!("conversation-{conversation}-turn-{turn}");
        Some(
            Request::new(id, Prompt::tokens(tokens), reply)
                .with_arrival_ns(arrival_ns)
                .with_name(name.as_str().into()),
        )
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.order.size_hint()
    }
}

impl ExactSizeIterator for Turns {}

const TIMES: u64 = 0x7469_6d65_735f_6e73;
const CONVERSATION: u64 = 0xd134_2543_de82_ef95;

/// Steele, Lea and Flood's generator "split mix". Written out because a seed has to give the same workload with every version of
/// this crate, which random number crates don't promise of theirs.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `last`.
    fn up_to(&mut self, last: u64) -> u64 {
        let wide = u128::from(self.next()) * (u128::from(last) + 1);
        u64::try_from(wide >> 64).unwrap_or(last)
    }

    /// A number in a range, at least 1; the beginning of an empty range.
    fn within(&mut self, range: &RangeInclusive<u32>) -> u32 {
        let span = range.end().saturating_sub(*range.start());
        let above = u32::try_from(self.up_to(u64::from(span))).unwrap_or(span);
        (range.start() + above).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(request: &Request) -> Vec<u32> {
        let mut out = vec![0; request.prompt.len()];
        request.prompt.read(0, &mut out);
        out
    }

    #[test]
    fn a_turn_begins_with_the_turn_before() {
        let requests: Vec<_> = Conversations::new(3).with_conversations(3).requests().collect();
        for conversation in 0..3 {
            let begins = format!("conversation-{conversation}-");
            let own = requests
                .iter()
                .filter(|r| r.name.unwrap().as_str().starts_with(&begins));
            let prompts: Vec<_> = own.map(tokens).collect();
            assert_eq!(prompts.len(), 5);
            for pair in prompts.windows(2) {
                assert!(pair[1].starts_with(&pair[0]) && pair[1].len() > pair[0].len());
            }
        }
    }

    #[test]
    fn all_begin_with_the_system_prompt_and_differ_after_it() {
        let requests: Vec<_> = Conversations::new(3).with_turns(1).requests().collect();
        let system = usize::try_from(Conversations::DEFAULT_SYSTEM_TOKENS).unwrap();
        let first = tokens(&requests[0]);
        for other in &requests[1..] {
            let other = tokens(other);
            assert_eq!(other[..system], first[..system]);
            assert_ne!(other[system..], first[system..]);
        }
    }

    #[test]
    fn a_seed_decides_everything() {
        let run = |seed| {
            Conversations::new(seed)
                .requests()
                .map(|r| (r.arrival_ns, tokens(&r)))
                .collect::<Vec<_>>()
        };
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
        // The sequence of the published reference for seed 1234567.
        let mut random = SplitMix(1_234_567);
        assert_eq!(
            [random.next(), random.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
    }

    #[test]
    fn odd_settings_give_requests_all_the_same() {
        #[expect(clippy::reversed_empty_ranges, reason = "what a caller can give")]
        let odd = Conversations::new(1)
            .with_user_tokens(9..=3)
            .with_reply_tokens(0..=0)
            .with_system_tokens(0);
        let odd = Conversations { vocabulary: 0, ..odd };
        for request in odd.requests() {
            assert!(!request.prompt.is_empty() && request.max_tokens == 1);
        }
        assert_eq!(Conversations::new(1).with_turns(0).requests().len(), 0);
    }
}
