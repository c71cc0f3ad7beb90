//! Runs of equal values.

/// Values compared at once, which a processor does several at a time.
const STRIDE: usize = 16;

/// Calls back with every run: its value and its length.
#[inline]
pub(super) fn each<T: Copy + Eq>(values: &[T], mut run: impl FnMut(T, usize)) {
    let mut rest = values;
    while let Some(&first) = rest.first() {
        let len = length(rest, first);
        run(first, len);
        rest = rest.get(len..).unwrap_or(&[]);
    }
}

/// How many of the values, from the first on, are `first`; at least one.
#[inline]
fn length<T: Copy + Eq>(values: &[T], first: T) -> usize {
    let mut len = 1;
    // Short runs are the rule where runs are not: they must not pay for a stride.
    while len < STRIDE {
        match values.get(len) {
            Some(value) if *value == first => len += 1,
            _ => return len,
        }
    }
    while let Some(ahead) = values.get(len..len + STRIDE) {
        // Without a way out in the middle, so that it becomes vector instructions.
        let other = ahead
            .iter()
            .fold(0, |other, value| other | u8::from(*value != first));
        if other > 0 {
            break;
        }
        len += STRIDE;
    }
    let tail = values.get(len..).unwrap_or(&[]);
    len + tail.iter().take_while(|value| **value == first).count()
}

/// How many runs there are.
pub(super) fn count<T: Copy + Eq>(values: &[T]) -> usize {
    let later = values.get(1..).unwrap_or(&[]);
    let changes = values
        .iter()
        .zip(later)
        .map(|(a, b)| usize::from(a != b))
        .sum::<usize>();
    changes + usize::from(!values.is_empty())
}
