use crate::problem::Refused;
use crate::store::StoreError;
use std::error::Error;
use tokio::sync::{mpsc, oneshot};

/// What waits for the database; whoever brings more waits before it.
const MAX_WAITING: usize = 4096;
/// Of one call: enough for thousands a second, few enough that nobody waits long.
const MAX_TOGETHER: usize = 512;

/// Puts small questions to the database together: all that came while the last ones were answered make the next call. Where one comes alone it
/// is answered at once; where ten thousand come they cost twenty calls, each of which is a way to the database's thread and back.
pub(crate) struct Together<Q, A> {
    waiting: mpsc::Sender<(Q, oneshot::Sender<Option<A>>)>,
}

#[derive(Debug, thiserror::Error)]
#[error("the database did not answer; the log says why")]
struct NotAnswered;

impl<Q: Send + 'static, A: Send + 'static> Together<Q, A> {
    /// `answer` has as many answers as it was given questions, in their order.
    pub(crate) fn open<F>(answer: impl Fn(Vec<Q>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Vec<A>, StoreError>> + Send,
    {
        let (waiting, mut questions) = mpsc::channel::<(Q, oneshot::Sender<Option<A>>)>(MAX_WAITING);
        tokio::spawn(async move {
            let mut together = Vec::new();
            while questions.recv_many(&mut together, MAX_TOGETHER).await > 0 {
                let (asked, askers): (Vec<Q>, Vec<_>) = together.drain(..).unzip();
                let answers = answer(asked).await;
                if let Err(error) = &answers {
                    tracing::error!(%error, source = ?error.source(), questions = askers.len(), "the database did not answer");
                }
                let answers = answers.into_iter().flatten().map(Some).chain(std::iter::repeat_with(|| None));
                // Nobody who hung up meanwhile is missed.
                askers.into_iter().zip(answers).for_each(|(asker, answer)| drop(asker.send(answer)));
            }
        });
        Self { waiting }
    }

    pub(crate) async fn ask(&self, question: Q) -> Result<A, Refused> {
        let (asker, answered) = oneshot::channel();
        let sent = self.waiting.send((question, asker)).await;
        sent.map_err(|_| Refused::internal(NotAnswered))?;
        answered.await.ok().flatten().ok_or_else(|| Refused::internal(NotAnswered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn what_comes_meanwhile_is_asked_together_and_everybody_has_their_own_answer() {
        let (calls, gate) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Semaphore::new(0)));
        let together = Together::open({
            let (calls, gate) = (Arc::clone(&calls), Arc::clone(&gate));
            move |numbers: Vec<u32>| {
                calls.lock().unwrap().push(numbers.len());
                let gate = Arc::clone(&gate);
                async move {
                    gate.acquire().await.unwrap().forget();
                    Ok(numbers.into_iter().map(|number| number * 2).collect())
                }
            }
        });
        let asking = async { tokio::join!(together.ask(1), together.ask(2), together.ask(3)) };
        let opening = async {
            while calls.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            gate.add_permits(9);
        };
        let ((one, two, three), ()) = tokio::join!(asking, opening);
        assert_eq!([one.ok(), two.ok(), three.ok()], [Some(2), Some(4), Some(6)]);
        assert!(calls.lock().unwrap().len() < 3, "{:?}", calls.lock().unwrap());
    }

    #[tokio::test]
    async fn a_database_that_fails_leaves_nobody_waiting() {
        let together: Together<u32, u32> = Together::open(|_| async { Err(StoreError::OtherVersion { found: 2, expected: 1 }) });
        assert!(together.ask(1).await.is_err());
        assert!(together.ask(2).await.is_err(), "it goes on");
    }
}
