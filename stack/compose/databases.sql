-- One database and three roles for every service; the passwords are for this machine only.

create role catalog_owner login password 'tandem';
create role catalog_api login password 'tandem';
create role catalog_worker login password 'tandem';
create database tandem_catalog owner catalog_owner;
revoke connect, temporary on database tandem_catalog from public;
grant connect, temporary on database tandem_catalog to catalog_api, catalog_worker;

create role enrollment_owner login password 'tandem';
create role enrollment_api login password 'tandem';
create role enrollment_worker login password 'tandem';
create database tandem_enrollment owner enrollment_owner;
revoke connect, temporary on database tandem_enrollment from public;
grant connect, temporary on database tandem_enrollment to enrollment_api, enrollment_worker;

create role billing_owner login password 'tandem';
create role billing_api login password 'tandem';
create role billing_worker login password 'tandem';
create database tandem_billing owner billing_owner;
revoke connect, temporary on database tandem_billing from public;
grant connect, temporary on database tandem_billing to billing_api, billing_worker;

create role contracts_owner login password 'tandem';
create role contracts_api login password 'tandem';
create role contracts_worker login password 'tandem';
create database tandem_contracts owner contracts_owner;
revoke connect, temporary on database tandem_contracts from public;
grant connect, temporary on database tandem_contracts to contracts_api, contracts_worker;

create role academy_owner login password 'tandem';
create role academy_api login password 'tandem';
create role academy_worker login password 'tandem';
create database tandem_academy owner academy_owner;
revoke connect, temporary on database tandem_academy from public;
grant connect, temporary on database tandem_academy to academy_api, academy_worker;
