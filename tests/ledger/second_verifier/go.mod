module watchbill.example/secondverifier

go 1.19
