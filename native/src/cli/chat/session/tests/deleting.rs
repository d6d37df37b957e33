//! Deleting messages.

use super::*;

#[test]
fn a_message_is_deleted_after_a_question() {
    let mut trial = Trial::live(true, &[message(7, "ann", "mine"), message(8, "bob", "hello")]);
    trial.line("/delete 8");
    assert_eq!(trial.wants(), ["! delete message 8, bob: hello? y/n", "asking true"]);
    trial.line("/delete 7");
    assert_eq!(trial.wants(), ["! nothing is deleted; answer the question before that"]);
    trial.line("n");
    assert_eq!(trial.wants(), ["asking false"]);
    trial.line("/delete");
    assert_eq!(trial.wants(), ["! delete message 7, ann: mine? y/n", "asking true"]);
    trial.line("y");
    assert_eq!(trial.wants(), ["asking false", "Delete { channel_name: \"general\", id: 7 }"]);
    trial.answer(1, Response::Deleted { channel_name: "general".parse().unwrap(), id: 7 });
    let mut record = message(9, "host", "Deleted message 7");
    record.deletes = Some(7);
    trial.push(1, &record);
    assert_eq!(trial.wants(), ["* message 7 is deleted", "9 host: Deleted message 7"]);
    // It is not deleted twice, and its text is not shown again.
    trial.line("/delete");
    let none = "! no message of yours was loaded; /delete takes the number of a message, which PageUp shows";
    assert_eq!(trial.wants(), [none]);
    trial.line("/delete 7");
    assert_eq!(trial.wants()[0], "! delete message 7, ann: (deleted)? y/n");
    trial.line("no");
    trial.line("/delete 123");
    assert_eq!(trial.wants()[1], "! delete message 123? y/n");
    trial.line("yes");
    trial.wants();
    trial.answer(1, Response::Error(ErrorResponse::request("Message not found", "x")));
    assert_eq!(trial.wants(), ["! message 123 is not deleted: Message not found: x"]);
}

#[test]
fn a_deletion_without_an_answer_or_a_connection_is_told_of() {
    let mut trial = Trial::live(false, &[message(7, "ann", "mine")]);
    for line in ["/delete x", "/delete 0", "/delete 7"] {
        trial.line(line);
    }
    let hint = "! /delete takes the number of a message, which PageUp shows";
    // Nobody is asked in a pipe.
    assert_eq!(trial.wants(), [hint, hint, "Delete { channel_name: \"general\", id: 7 }"]);
    trial.lose(1);
    assert_eq!(trial.wants()[0], "! whether message 7 is deleted is not known: no answer came");
    trial.line("/delete 7");
    assert_eq!(trial.wants(), ["! message 7 is not deleted: there is no connection now"]);
    trial.line("/leave");
    trial.wants();
    trial.line("/delete 7");
    assert_eq!(trial.wants(), ["! on no channel; /join NAME goes to one"]);
}

#[test]
fn the_question_is_closed_with_its_channel() {
    let mut trial = Trial::live(true, &[message(7, "ann", "mine")]);
    trial.line("/delete");
    trial.line("/leave");
    assert!(trial.wants().contains(&"asking false".into()));
}
