//! What quotations and orders need of invoices: prices before the sale, and billing by prices that were agreed on.

use bahi_db::{Error as DbError, Tx};
use bahi_http::Caller;
use bahi_types::{
    CustomerGroupId, CustomerId, InvoiceId, LocationId, Money, PosSessionId, UserId, business_date,
};
use uuid::Uuid;

use super::{
    commands::{self, Draft, Moment, Outlet},
    http::folded,
    model::{
        Agreed, Basket, Buyer, Discounted, Header, Invoice, Line, NewLine, NewTender, Terms,
        levy_of, supply, tax_again,
    },
};
use crate::{
    catalogue, customer,
    error::{Error, Result},
    events,
    right::Rights,
};

/// What a quotation or an order asks for.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// Where the goods come from; its branch and registration sell.
    pub location: LocationId,
    pub lines: Vec<NewLine>,
    pub bill_discount: Option<Discounted>,
    pub buyer: Buyer,
    pub customer_id: Option<CustomerId>,
    pub customer_group: Option<CustomerGroupId>,
    /// State of the delivery address.
    pub delivery: Option<String>,
    pub round_to_rupee: bool,
    pub salesperson_id: Option<UserId>,
    pub external_reference: Option<String>,
}

impl Wish {
    fn draft(&self) -> Draft {
        Draft {
            invoice_id: InvoiceId::from_uuid(Uuid::nil()),
            request_hash: Vec::new(),
            outlet: Outlet::Office {
                location: self.location,
                series: None,
                round_to_rupee: self.round_to_rupee,
                delivery: self.delivery.clone(),
            },
            lines: self.lines.clone(),
            bill_discount: self.bill_discount,
            tenders: None,
            buyer: self.buyer.clone(),
            customer_id: self.customer_id,
            credit_override: None,
            customer_group: self.customer_group,
            coupons: Vec::new(),
            salesperson_id: self.salesperson_id,
            external_reference: self.external_reference.clone(),
            external_date: None,
            approval: None,
            held_bill: None,
            back: None,
        }
    }
}

/// Prices and taxes what is asked for as it would be sold now. Nothing is written.
///
/// # Errors
/// What a sale is refused for, stock and credit aside.
pub(crate) async fn offer(tx: &Tx, caller: &Caller, wish: &Wish) -> Result<(Header, Vec<Line>)> {
    let draft = wish.draft();
    let known = commands::look_in(tx, &draft).await?;
    let sale = commands::prepare(caller, &draft, None, known, 1)?;
    Ok((sale.header, sale.lines))
}

/// Prices and taxes a basket at a till as it would be sold now. Nothing is written.
///
/// # Errors
/// What a sale is refused for, stock and payment aside.
pub(crate) async fn priced_now(
    tx: &Tx,
    caller: &Caller,
    session: PosSessionId,
    basket: &Basket,
) -> Result<(Header, Vec<Line>)> {
    let draft = Draft {
        invoice_id: InvoiceId::from_uuid(Uuid::nil()),
        request_hash: Vec::new(),
        outlet: Outlet::Till(session),
        lines: basket.lines.clone(),
        bill_discount: basket.bill_discount,
        tenders: None,
        // Nobody owes anything by looking.
        buyer: Buyer {
            name: Some(String::new()),
            phone: Some(String::new()),
            ..Buyer::default()
        },
        customer_id: None,
        credit_override: None,
        customer_group: basket.customer_group_id,
        coupons: folded(&basket.coupons),
        salesperson_id: None,
        external_reference: None,
        external_date: None,
        approval: None,
        held_bill: None,
        back: None,
    };
    let known = commands::look_in(tx, &draft).await?;
    let sale = commands::prepare(caller, &draft, None, known, 1)?;
    Ok((sale.header, sale.lines))
}

/// What of an order is billed.
#[derive(Clone, Debug)]
pub(crate) struct Bill {
    pub invoice_id: InvoiceId,
    /// Of the request.
    pub request_hash: Vec<u8>,
    /// Whose the order is, and from where; its lines are not looked at.
    pub wish: Wish,
    pub lines: Vec<Agreed>,
    /// The prefix asked for.
    pub series: Option<String>,
    /// None leaves the whole on credit.
    pub tenders: Option<Vec<NewTender>>,
    pub credit_override: Option<String>,
    /// What the order has claimed of the customer's credit and gives up with this.
    pub from_orders: Money,
}

/// Bills what was agreed on, at the tax of today. The caller holds the account's lock, and then the order's.
///
/// # Errors
/// As for any invoice; [`Error::RequestReused`] for an id that was decided on.
pub(crate) async fn bill(tx: &mut Tx, caller: &Caller, bill: Bill) -> Result<Invoice> {
    let draft = Draft {
        invoice_id: bill.invoice_id,
        request_hash: bill.request_hash,
        outlet: Outlet::Office {
            location: bill.wish.location,
            series: bill.series,
            round_to_rupee: bill.wish.round_to_rupee,
            delivery: bill.wish.delivery.clone(),
        },
        lines: Vec::new(),
        tenders: bill.tenders,
        credit_override: bill.credit_override,
        ..bill.wish.draft()
    };
    let now = tx.now();
    let mut ids: Vec<Uuid> = bill
        .lines
        .iter()
        .map(|l| l.line.product_id.uuid())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let found = catalogue::find(tx, &ids, business_date(now), (None, None)).await?;
    let products = bill.lines.iter().map(|l| {
        let known = found.iter().find(|g| g.product_id == l.line.product_id);
        known.ok_or(Error::Db(DbError::NotFound))
    });
    let goods: Vec<_> = products.collect::<Result<_>>()?;
    let customer = match draft.customer_id {
        Some(id) => customer::find(tx, id).await?,
        None => None,
    };
    let outlet = commands::outlet(tx, &draft.outlet).await?;
    let site = commands::site(&draft, outlet)?;
    let buyer = commands::buyer(&draft, customer.as_ref());
    let supply = supply(site.state, &buyer, bill.wish.delivery.as_deref(), true)?;
    let terms = Terms {
        levy: levy_of(supply, site.gstin.is_some()),
        round_to_rupee: site.round_to_rupee,
        rights: Rights::ALL,
    };
    let priced = tax_again(bill.lines, &goods, terms)?;
    let moment = Moment::Now(now, caller.user().ok());
    let mut sale = commands::assemble(&draft, (site, supply, buyer), priced, moment, 1)?;
    sale.from_orders = bill.from_orders;
    let mut header = sale.header.clone();
    let lines = sale.lines.clone();
    let written = commands::write(tx, &sale, 1, &header, &lines).await;
    header.number = written
        .map_err(|error| match error {
            Error::Decided => Error::RequestReused,
            other => other,
        })?
        .number;
    if !header.credit.is_positive()
        && bill.from_orders.is_positive()
        && let Some(customer) = header.customer_id
    {
        // Paid at once: what the order had claimed is owed by nobody.
        customer::release_order(tx, customer, bill.from_orders).await?;
    }
    let invoice = Invoice {
        header,
        lines,
        tenders: sale.tenders.clone(),
    };
    tx.publish(events::invoice_issued(&invoice, None));
    Ok(invoice)
}
