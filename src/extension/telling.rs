use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// The guest agent wants to hear at least every two minutes of what goes on (Azure/azure-linux-extensions, docs/design-details.md, "Status
/// reporting").
pub(crate) const EVERY: Duration = Duration::from_secs(60);

/// Does the work, and says at once and then `every` so often that it goes on, with the time since its beginning. Nothing is said after its
/// end.
pub(crate) fn telling<T>(every: Duration, tell: impl Fn(Duration) + Sync, work: impl FnOnce() -> T) -> T {
    tell(Duration::ZERO);
    let (end, ended) = channel::<()>();
    let tell = &tell;
    thread::scope(move |scope| {
        scope.spawn(move || {
            let mut passed = every;
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                tell(passed);
                passed += every;
            }
        });
        let done = work();
        drop(end);
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_told_at_once_and_again_at_least_every_two_minutes() {
        assert!(EVERY <= Duration::from_secs(120));
        let (told, heard) = channel();
        let every = Duration::from_millis(1);
        let next = || heard.recv_timeout(Duration::from_secs(60)).expect("it is not told");
        let three = telling(every, |passed| told.send(passed).unwrap(), || [next(), next(), next()]);
        assert_eq!(three, [Duration::ZERO, every, every * 2]);
    }

    #[test]
    fn work_that_panics_ends_the_telling() {
        let result = std::panic::catch_unwind(|| telling(EVERY, |_| (), || assert!(EVERY.is_zero(), "at work")));
        assert!(result.is_err());
    }
}
