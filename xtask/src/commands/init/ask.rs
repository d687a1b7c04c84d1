//! Asks on the terminal what the files leave open. Nothing is written before the last answer.

use std::{
    io::{IsTerminal as _, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};

use crate::{
    errors::{Code, Problem},
    flags::Global,
    recognise::{self, Answers, Open, Question, Recognised},
};

/// Wrong answers to one question, before the command ends.
const MOST: usize = 3;

/// Whether questions can be asked: on a terminal, and not where a program reads the output or the user wants none.
pub(super) fn is_possible(global: &Global) -> bool {
    let is_wanted = !global.yes && !global.events && !global.dry_run;
    is_wanted && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// What is recognised in the folder with the user's answers; after each one it is looked at again, since it may open other questions.
pub(super) fn recognised(folder: &Path, mut answers: Answers, can_ask: bool) -> Result<Option<Recognised>> {
    let mut asked: Vec<Question> = Vec::new();
    loop {
        let Some(found) = recognise::recognise(folder, &answers)? else { return Ok(None) };
        let open = found.open.iter().find(|it| can_ask && !asked.contains(&it.question));
        let Some(open) = open else { return Ok(Some(found)) };
        asked.push(open.question);
        ask(open, &mut answers)?;
    }
}

fn ask(open: &Open, answers: &mut Answers) -> Result<()> {
    let mut text = question(open);
    for attempt in 1..=MOST {
        say(&text)?;
        let line = line()?.ok_or_else(|| {
            // The prompt has no line end.
            say("\n").ok();
            unanswered("standard input ended before an answer; nothing was written")
        })?;
        match answers.say(open, &line) {
            Ok(()) => return say("\n"),
            Err(why) if attempt < MOST => text = format!("{why}.\n{}", prompt(open)),
            Err(why) => return Err(unanswered(&format!("{why}: {MOST} answers were wrong; nothing was written"))),
        }
    }
    Ok(())
}

fn unanswered(what: &str) -> anyhow::Error {
    let hint = "run the same command again; with --yes nothing is asked, and --explain shows what follows from which file";
    Problem::config(what.to_owned()).code(Code::Unrecognised).hint(hint).into()
}

/// A line of standard input; `None` at its end. Ctrl-C ends the program here.
pub(super) fn line() -> Result<Option<String>> {
    let mut out = String::new();
    let count = std::io::stdin().read_line(&mut out).context("read the answer")?;
    Ok((count > 0).then_some(out))
}

fn say(text: &str) -> Result<()> {
    std::io::stderr().write_all(text.as_bytes()).context("ask")
}

fn question(open: &Open) -> String {
    let list = |what: &str| {
        let lines = open.candidates.iter().enumerate().map(|(at, it)| format!("  {}  {it}\n", at + 1));
        format!("{what}\n{}", lines.collect::<String>())
    };
    let what = match open.question {
        Question::Program => list("Several programs could be the server:"),
        Question::Settings => list("Several settings modules could be those of the deployment:"),
        Question::Object => list("Several application objects could be served:"),
        Question::Start if open.default.is_some() => "No file says for sure which command starts the server.\n".to_owned(),
        Question::Start => "No file says which command starts the server.\n".to_owned(),
        Question::Port => "No file says which port the server listens on.\n".to_owned(),
    };
    format!("{what}{}", prompt(open))
}

fn prompt(open: &Open) -> String {
    let what = match open.question {
        Question::Program | Question::Settings | Question::Object => "Which one?",
        Question::Start => "Which command?",
        Question::Port => "Which port?",
    };
    let default = open.default.as_ref().map(|default| match open.candidates.iter().position(|it| it == default) {
        Some(at) => format!("[{}] ", at + 1),
        None => format!("[{default}] "),
    });
    format!("{what} {}", default.unwrap_or_default())
}
