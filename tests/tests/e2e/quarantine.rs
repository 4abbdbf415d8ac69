//! Rows that no API of ours would have written, put straight into the table: each is left out, counted and named, its
//! neighbours are served, and no Envoy refuses an answer because of it.

use anyhow::ensure;
use e2e::{
    api::Api,
    scenario::poison::{self, Plan},
    table::{good_row, n, s},
};
use serde_json::json;

use crate::{alone, play};

const GOOD: &str = "10.0.0.1:80";
const STRAIGHT: &str = "10.0.1.1:80";

#[test]
fn a_bad_row_harms_nobody() {
    alone("a_bad_row_harms_nobody", async |stage| {
        println!("{:.2?}", poison::play(stage, Plan { one_in: 6 }).await?);
        Ok(())
    });
}

#[test]
fn a_bad_row_gives_way_to_the_owner_of_its_address() {
    play("a_bad_row_gives_way_to_the_owner_of_its_address", async |stage| {
        let mut api = Api::start(stage, &[]).await?;
        let table = api.table().await?;
        let mut typed_wrong = good_row("web", GOOD);
        typed_wrong.insert("incarnation".into(), s("seven"));
        table.put(typed_wrong).await?;
        api.put("web", GOOD, (5, 1), json!({})).await?.expect(200)?;

        let mut ahead = good_row("web", STRAIGHT);
        ahead.extend([("incarnation".to_owned(), n(9)), ("status".to_owned(), s("FINE"))]);
        table.put(ahead).await?;
        let told = api.put("web", STRAIGHT, (5, 1), json!({})).await?.expect(409)?.json()?;
        ensure!(told["current"]["incarnation"] == 9, "{told}");
        api.put("web", STRAIGHT, (10, 2), json!({})).await?.expect(200)?;
        ensure!(api.v1_endpoints("web").await? == [GOOD, STRAIGHT]);
        Ok(())
    });
}
