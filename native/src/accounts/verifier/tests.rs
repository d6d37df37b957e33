use super::{
    super::{Account, Token},
    *,
};

const HASH: &str = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

/// An account whose hash costs so much memory.
fn costing(memory: u32) -> Account {
    let hash = format!("$argon2id$v=19$m={memory},t=2,p=1$c29tZXNhbHQ${HASH}");
    Account { password: Some(hash.parse().unwrap()), ..Account::default() }
}

fn verifier(accounts: impl IntoIterator<Item = (&'static str, Account)>) -> Verifier {
    let accounts = accounts.into_iter().map(|(name, account)| (name.parse().unwrap(), account)).collect();
    Verifier::new(Arc::new(accounts), drop)
}

fn name(text: &str) -> AccountName {
    text.parse().unwrap()
}

fn cost(verifier: &Verifier, account: &str) -> Cost {
    verifier.hash_of(&name(account)).1.cost()
}

#[test]
fn a_name_without_an_account_costs_as_much_as_a_wrong_password() {
    let verifier = verifier([("ann", costing(256)), ("bob", costing(256)), ("bot", Account::default())]);
    let ann = cost(&verifier, "ann");
    assert_ne!(ann, Cost::NEW);
    for other in ["bob", "bot", "nobody", "carl", "x"] {
        assert_eq!(cost(&verifier, other), ann, "{other}");
    }
    let no_accounts = super::Verifier::new(Arc::default(), drop);
    assert_eq!(cost(&no_accounts, "nobody"), Cost::NEW);
}

#[test]
fn where_costs_differ_a_name_without_an_account_has_always_the_same_of_them() {
    let verifier = verifier([("ann", costing(256)), ("bob", costing(512))]);
    let known = [cost(&verifier, "ann"), cost(&verifier, "bob")];
    let mut seen = [0, 0];
    for number in 0..200 {
        let account = format!("nobody{number}");
        let first = cost(&verifier, &account);
        assert_eq!(first, cost(&verifier, &account));
        seen[known.iter().position(|known| *known == first).unwrap()] += 1;
    }
    // The chance that a fair choice goes so far astray is 1 in 10^8.
    assert!(seen.iter().all(|count| *count > 55), "{seen:?}");
}

#[test]
fn a_token_names_its_account_until_it_expires() {
    let now = Timestamp::from_unix(100);
    let (token, secret) = Token::new("laptop".into(), Some(Timestamp::from_unix(101))).unwrap();
    let bot = Account { tokens: vec![token], ..Account::default() };
    let revision = bot.revision();
    let verifier = verifier([("ann", costing(256)), ("bot", bot)]);
    assert_eq!(verifier.owner(&secret.0, now), Some((name("bot"), revision)));
    assert_eq!(verifier.owner(&secret.0, Timestamp::from_unix(101)), None);
    assert_eq!(verifier.owner("cwt_", now), None);
}

#[test]
fn a_result_counts_only_while_the_account_is_as_it_was() {
    let before = verifier([("ann", costing(256))]).accounts;
    let changed = verifier([("ann", costing(512))]).accounts;
    let verified = || Some((name("ann"), before[&name("ann")].revision()));
    assert_eq!(in_force(verified(), &before), Some(name("ann")));
    assert_eq!(in_force(verified(), &changed), None);
    assert_eq!(in_force(verified(), &Accounts::new()), None);
    assert_eq!(in_force(None, &before), None);
}

#[test]
fn a_revision_changes_with_the_password_and_the_tokens_alone() {
    let account = costing(256);
    let (token, _) = Token::new("laptop".into(), None).unwrap();
    assert_eq!(
        Account { groups: vec!["staff".into()], is_operator: true, ..costing(256) }.revision(),
        account.revision()
    );
    assert_ne!(costing(512).revision(), account.revision());
    let with_token = Account { tokens: vec![token.clone()], ..costing(256) };
    assert_ne!(with_token.revision(), account.revision());
    let renamed = Token { name: "desk".into(), ..token };
    assert_ne!(Account { tokens: vec![renamed], ..costing(256) }.revision(), with_token.revision());
}
