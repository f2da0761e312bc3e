//! Questions on a terminal. Whether one is to be asked at all is the caller's.

use std::io::{BufRead, Write};

use tokio::sync::oneshot;

use crate::failure::{Failure, Result};

/// Asks, and says whether the answer is yes.
pub async fn is_yes(question: &str) -> Result<bool> {
    let question = question.to_owned();
    let (told, answer) = oneshot::channel();
    // A thread of its own, which nobody waits for: reading from a terminal cannot be called off, and Ctrl-C must end the program all the same.
    std::thread::spawn(move || {
        let read = || {
            let mut stderr = std::io::stderr();
            stderr.write_all(question.as_bytes())?;
            stderr.flush()?;
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map(|_| line)
        };
        // Nobody listens any more after Ctrl-C.
        let _ = told.send(read());
    });
    let line = match answer.await {
        Ok(Ok(line)) => line,
        Ok(Err(error)) => return Err(Failure::failed("your answer cannot be read").why(error).next("answer beforehand with --yes")),
        Err(error) => return Err(Failure::failed("your answer cannot be read").why(error)),
    };
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
