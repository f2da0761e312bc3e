//! New repositories and linked work trees.

use super::*;

#[tokio::test]
async fn a_repository_is_made_of_the_files_that_are_there() {
    let place = Place::new().await;
    place.write("new/a/b.txt", "text");
    let by = Signature::roundtable(1);
    let made = place.program.create_repository(&place.path("new"), "main", &by, "start\n").await.unwrap();
    let facts = made.facts().await.unwrap();
    assert_eq!(facts.head_is, Head::Branch(RefName::branch("main").unwrap()));
    assert_eq!(made.uncommitted(10).await.unwrap().count, 0);
    assert_eq!(made.git().read_file(&facts.head, "a/b.txt", 100).await.unwrap(), Some(b"text".to_vec()));
}

#[tokio::test]
async fn a_work_tree_shows_a_commit_without_a_branch() {
    let place = Place::new().await;
    let first = place.user_commit(&[("a", "1")]);
    place.user_commit(&[("a", "2")]);
    let user = place.user().await;
    user.add_work_tree(&place.path("there"), &first).await.unwrap();
    assert_eq!(place.read("there/a"), "1");
    let linked = place.program.discover(&place.path("there")).await.unwrap();
    assert_eq!((linked.head_is().await.unwrap(), linked.common_dir()), (Head::Detached, user.common_dir()));
    assert!(user.add_work_tree(&place.path("there"), &first).await.is_err(), "taken");
}
